let now = $state(Date.now());
setInterval(() => (now = Date.now()), 10_000);

/** What time it is, in milliseconds, to some seconds: for what is drawn again as time goes by. */
export const clock = {
  get now() {
    return now;
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
