import { fromAbsolute, parseDateTime, toCalendarDateTime, toZoned } from '@internationalized/date';

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export const iso = (ms: number) => new Date(ms).toISOString();

const formats = new Map<string, Intl.DateTimeFormat>();

/** Formats an instant in a time zone and the viewer's language. */
export function format(ms: number, timeZone: string, options: Intl.DateTimeFormatOptions): string {
  const key = timeZone + JSON.stringify(options);
  let made = formats.get(key);
  if (!made) formats.set(key, (made = new Intl.DateTimeFormat(undefined, { timeZone, ...options })));
  return made.format(ms);
}

export const full = (ms: number, timeZone: string) => format(ms, timeZone, { dateStyle: 'medium', timeStyle: 'medium' });
export const short = (ms: number, timeZone: string) => format(ms, timeZone, { dateStyle: 'medium', timeStyle: 'short' });

/** Converts an instant to the value of `<input type="datetime-local">`, and back. */
export const toLocal = (ms: number, timeZone: string) =>
  toCalendarDateTime(fromAbsolute(ms - (ms % SECOND), timeZone)).toString();
export const fromLocal = (text: string, timeZone: string) => toZoned(parseDateTime(text), timeZone).toDate().getTime();

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
const units = [['day', DAY], ['hour', HOUR], ['minute', MINUTE]] as const;

/** "5 minutes ago" */
export function ago(ms: number, now: number): string {
  const [unit, length] = units.find(([, length]) => now - ms >= length) ?? ['second', SECOND];
  return unit === 'second' ? 'just now' : relative.format(-Math.floor((now - ms) / length), unit);
}
