let ticks = $state(0);
setInterval(() => ticks++, 10_000);

/** The current time in milliseconds. Texts that depend on it are updated every 10 seconds. */
export const clock = {
  get now() {
    void ticks;
    return Date.now();
  },
};

/** Returns a time that is updated every 10 seconds and when `something` changes, but at most twice a second. */
export function lately(something: () => unknown) {
  let at = $state(Date.now());
  let due: ReturnType<typeof setTimeout> | undefined;
  $effect(() => {
    void [something(), clock.now];
    due ??= setTimeout(() => {
      due = undefined;
      at = Date.now();
    }, 500);
  });
  return {
    get at() {
      return at;
    },
  };
}
