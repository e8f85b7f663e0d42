// Who the viewer is: a token that goes with every request, where the server wants one.

const KEY = 'headcount.token';

const stored = () => localStorage.getItem(KEY) ?? sessionStorage.getItem(KEY);

let refused = $state(false);

export const session = {
  /** Whether the server wants a token, or another one. */
  get refused() {
    return refused;
  },
  get signedIn() {
    return stored() !== null;
  },
  /** As both HTTP and the WebSocket's first message carry it. */
  get credentials(): Record<string, string> {
    const token = stored();
    return token === null ? {} : { authorization: `Bearer ${token}` };
  },
  refuse() {
    refused = true;
  },
  signIn(token: string, keep: boolean) {
    (keep ? localStorage : sessionStorage).setItem(KEY, token);
    location.reload();
  },
  signOut() {
    localStorage.removeItem(KEY);
    sessionStorage.removeItem(KEY);
    location.reload();
  },
};
