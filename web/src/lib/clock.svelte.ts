let ticks = $state(0);
setInterval(() => ticks++, 10_000);

/** What time it is, in milliseconds, for what is drawn again every few seconds as time goes by. */
export const clock = {
  get now() {
    void ticks;
    return Date.now();
  },
};

/** The time, told again when something changes and some seconds later, though at most twice a second. */
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
