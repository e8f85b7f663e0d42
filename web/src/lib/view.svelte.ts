// The selected time range, and the selected instant in it. The address contains both, so it can be shared.

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

/** Returns the finest interval that does not divide the time range into more buckets than fit on a screen. */
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
  /** Undefined: the current time, which advances. */
  get end() {
    return instant('end');
  },
  set end(ms) {
    put('end', ms === undefined ? ms : iso(ms));
  },
  /** The selected instant; undefined: the end. */
  get at() {
    return instant('at');
  },
  set at(ms) {
    put('at', ms === undefined ? ms : iso(ms));
  },
  /** The length of one step of the slider, in milliseconds. */
  get step() {
    return this.span <= HOUR ? SECOND : MINUTE;
  },
};
