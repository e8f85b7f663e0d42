// The viewer's settings, stored in this browser.

const keep = (name: string, otherwise: string) => {
  const key = `headcount.${name}`;
  let value = $state(localStorage.getItem(key) ?? otherwise);
  return {
    get value() {
      return value;
    },
    set value(chosen) {
      value = chosen;
      localStorage.setItem(key, chosen);
    },
  };
};

export const mine = Intl.DateTimeFormat().resolvedOptions().timeZone;

const zone = keep('zone', 'space');

export const settings = {
  /** `space`, `mine`, or an IANA time zone. */
  zone,
  /** `light dark`, `light` or `dark`. */
  scheme: keep('scheme', 'light dark'),
};

/** Returns the time zone in which to show times of a space that is in this zone. */
export const zoneOf = (spaces: string) =>
  zone.value === 'space' ? spaces : zone.value === 'mine' ? mine : zone.value;
