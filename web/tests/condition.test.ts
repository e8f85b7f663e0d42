// What the pages conclude from what the server knows; without a browser.

import { expect, test } from '@playwright/test';
import { condition, lastSign } from '../src/lib/condition';
import { gaps, type Shade, uncovered } from '../src/lib/coverage';
import { reason, type Reporting } from '../src/lib/reports';
import { format } from '../src/lib/time';

const NOW = Date.parse('2026-03-04T12:00:00Z');
const ago = (hours: number) => new Date(NOW - hours * 3_600_000).toISOString();
const dpu = (reports: 'CROSSINGS' | 'INTERVALS', lastHeard: string | null, expectedEvery: number | null = null) => ({
  reports,
  expectedEvery,
  health: { lastHeard },
});

test('a space has no data lately if it is stale, whenever somebody crossed', () => {
  const space = { count: 3, capacity: 10, stale: false, lastEvent: { ts: ago(1) }, dpus: [dpu('CROSSINGS', ago(1), 60)] };
  expect(condition(space, true, NOW)).toBe('occupied');
  expect(condition({ ...space, stale: true }, true, NOW)).toBe('silent');
  expect(condition({ ...space, lastEvent: { ts: ago(100) } }, true, NOW)).toBe('occupied');
  expect(condition({ ...space, lastEvent: null, count: 0 }, true, NOW)).toBe('empty');
  expect(condition({ ...space, stale: true }, false, NOW)).toBe('unreachable');
  expect(condition({ ...space, dpus: [] }, true, NOW)).toBe('unwatched');
});

test('a space of which it is not known how often its DPUs report is quiet after a day', () => {
  const space = { count: 3, stale: false, lastEvent: { ts: ago(23) }, dpus: [dpu('CROSSINGS', ago(0))] };
  expect(condition(space, true, NOW)).toBe('occupied');
  expect(condition({ ...space, lastEvent: { ts: ago(25) } }, true, NOW)).toBe('quiet');
  expect(condition({ ...space, lastEvent: null }, true, NOW)).toBe('quiet');
  expect(condition({ ...space, lastEvent: null, dpus: [dpu('INTERVALS', ago(1))] }, true, NOW)).toBe('occupied');
  expect(condition({ ...space, lastEvent: null, dpus: [dpu('INTERVALS', ago(25))] }, true, NOW)).toBe('quiet');
});

test('the last sign of a space is a crossing or a report', () => {
  const dpus = [dpu('CROSSINGS', ago(0)), dpu('INTERVALS', ago(2)), dpu('INTERVALS', null)];
  expect(lastSign({ lastEvent: { ts: ago(1) }, dpus })).toEqual({ what: 'last crossing', at: NOW - 3_600_000 });
  expect(lastSign({ lastEvent: { ts: ago(3) }, dpus })).toEqual({ what: 'last heard', at: NOW - 7_200_000 });
  expect(lastSign({ lastEvent: null, dpus: dpus.slice(0, 1) })).toBeUndefined();
});

test('times without reports are marked, except those whose reports may still come', () => {
  const MINUTE = 60_000;
  const buckets = (...coverage: (number | null)[]) =>
    coverage.map((coverage, index) => {
      const start = NOW - (5 * (4 - index) + 2) * MINUTE;
      return { start: new Date(start).toISOString(), end: new Date(start + 5 * MINUTE).toISOString(), coverage };
    });
  const shown = (shades: Shade[]) => shades.map(({ start, end, missing }) => [(start - NOW) / MINUTE, (end - NOW) / MINUTE, missing]);
  expect(shown(uncovered(buckets(1, 0, 0, 0.5, 0), [], NOW, 0))).toEqual([[-17, -7, 'none'], [-7, -2, 'part'], [-2, 0, 'none']]);
  expect(shown(uncovered(buckets(1, 0, 0, 0.5, 0), [], NOW, 4 * MINUTE))).toEqual([[-17, -7, 'none']]);
  expect(uncovered(buckets(1, null, 1, null), [], NOW, 0)).toEqual([]);

  const nodes = [
    { start: new Date(NOW - 16 * MINUTE).toISOString(), end: new Date(NOW - 14 * MINUTE).toISOString(), isGap: true },
    { start: new Date(NOW - 14 * MINUTE).toISOString(), end: new Date(NOW).toISOString(), isGap: false },
  ];
  const lost = gaps([{ dpu: { intervals: { nodes } } }]);
  expect(shown(lost)).toEqual([[-16, -14, 'gap']]);
  expect(uncovered(buckets(1, 0.6, 1, 1), lost, NOW, 0)).toEqual([]);
  expect(shown(uncovered(buckets(1, 0.4, 1, 1), lost, NOW, 0))).toEqual([[-17, -12, 'part']]);
});

test('the reason of a range is said in words', () => {
  const one = (serial: string, reports: Reporting['reports'], start: string, end: string, source: 'REPORTED' | 'DERIVED' | 'PRUNED'): Reporting => ({
    serial,
    reports,
    intervals: { nodes: [{ start: `2026-03-04T${start}Z`, end: `2026-03-04T${end}Z`, source, isGap: false }] },
  });
  const a = one('a', 'INTERVALS', '11:50:00', '12:10:00', 'REPORTED');
  const b = one('b', 'TOTALS', '11:30:00.001', '12:05:00.001', 'DERIVED');
  const c = one('c', 'CROSSINGS', '12:00:00', '13:00:00', 'PRUNED');
  const later = one('d', 'INTERVALS', '12:10:00', '12:20:00', 'REPORTED');
  const over = one('e', 'INTERVALS', '11:50:00', '12:00:00.001', 'REPORTED');
  const said = (...dpus: Reporting[]) => reason(dpus, NOW, 'UTC');
  const time = (minutes: number) => format(NOW + minutes * 60_000, 'UTC', { timeStyle: 'medium' });
  expect(said(a, a, later, over)).toBe(`DPU a reports intervals, the next ends at ${time(10)}`);
  expect(said(b)).toBe(`DPU b reports running totals, the next reading is at ${time(5)}`);
  expect(said(a, b)).toBe(`DPUs a and b report intervals or running totals, the next ends at ${time(5)}`);
  expect(said(a, b, c)).toBe(`3 DPUs report intervals or running totals, the next ends at ${time(5)}`);
  expect(said(c)).toBe(`old reports are kept by the hour, and this one ends at ${time(60)}`);
  expect(said(later, over)).toBe('counting started within an interval');
});
