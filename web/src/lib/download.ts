import { session } from './session.svelte';

/** Downloads a file with the viewer's token. */
export async function credentialed(url: string, name: string) {
  const response = await fetch(url, { headers: session.credentials });
  if (response.status === 401) return session.refuse();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
