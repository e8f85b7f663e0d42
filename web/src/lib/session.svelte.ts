// The viewer's token: sent with every request if the server requires one.

const KEY = 'headcount.token';

const stored = () => localStorage.getItem(KEY) ?? sessionStorage.getItem(KEY);

let refused = $state(false);

export const session = {
  /** Whether the server refused a request because its token is missing or invalid. */
  get refused() {
    return refused;
  },
  get signedIn() {
    return stored() !== null;
  },
  /** The headers of an HTTP request, and the payload of a WebSocket's first message. */
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
