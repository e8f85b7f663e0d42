// What stretch of time is looked at, and which instant in it: kept in the address, so that it can be shared.

import { searchParams } from 'sv-router';
import type { Interval } from '../../generated/operations';
import { DAY, HOUR, iso, MINUTE, SECOND } from './time';

export const spans = [
  ['Hour', HOUR],
  ['6 hours', 6 * HOUR],
  ['Day', DAY],
  ['Week', 7 * DAY],
  ['Month', 30 * DAY],
  ['Quarter', 91 * DAY],
  ['Year', 365 * DAY],
] as const;

const intervals: readonly (readonly [Interval, number])[] = [
  ['MINUTE', MINUTE],
  ['FIVE_MINUTES', 5 * MINUTE],
  ['FIFTEEN_MINUTES', 15 * MINUTE],
  ['THIRTY_MINUTES', 30 * MINUTE],
  ['HOUR', HOUR],
  ['DAY', DAY],
  ['WEEK', 7 * DAY],
  ['MONTH', 31 * DAY],
];

/** The finest interval that does not cut the stretch into more buckets than a screen has room for. */
export const intervalOf = (span: number): Interval => (intervals.find(([, length]) => span / length <= 400) ?? ['MONTH'])[0];

const instant = (name: string) => {
  const ms = Date.parse(String(searchParams.get(name)));
  return Number.isNaN(ms) ? undefined : ms;
};
const put = (name: string, value?: string | number) =>
  value === undefined ? searchParams.delete(name, undefined, { replace: true }) : searchParams.set(name, value, { replace: true });

export const view = {
  get span() {
    const span = Number(searchParams.get('span') ?? DAY);
    return span >= MINUTE ? span : DAY;
  },
  set span(ms) {
    put('span', Math.round(ms));
  },
  /** Undefined: now, and on with the time. */
  get end() {
    return instant('end');
  },
  set end(ms) {
    put('end', ms === undefined ? ms : iso(ms));
  },
  /** The instant that is asked about; undefined: the end. */
  get at() {
    return instant('at');
  },
  set at(ms) {
    put('at', ms === undefined ? ms : iso(ms));
  },
  /** How far one step of the slider goes. */
  get step() {
    return this.span <= HOUR ? SECOND : MINUTE;
  },
};
