import type { CombinedError, DocumentInput } from '@urql/core';
import { client } from './client';

let revision = $state(0);

/** Makes every query on the page run again. */
export const refresh = () => void revision++;

/**
 * Returns a query that runs again when its variables change; the last data stays until new data arrives. Without variables, it
 * does not run, and has no data.
 */
export function query<Data, Variables extends Record<string, unknown>>(
  document: DocumentInput<Data, Variables>,
  variables: () => Variables | undefined,
) {
  let data = $state.raw<Data>();
  let error = $state.raw<CombinedError>();
  let fetching = $state(true);
  $effect(() => {
    revision;
    const given = variables();
    fetching = given !== undefined;
    if (!given) return void (error = data = undefined);
    const { unsubscribe } = client.query(document, given).subscribe((result) => {
      fetching = false;
      error = result.error;
      data = result.data ?? data;
    });
    return unsubscribe;
  });
  return {
    get data() {
      return data;
    },
    get error() {
      return error;
    },
    get fetching() {
      return fetching;
    },
  };
}

interface Page<Node> {
  nodes: Node[];
  pageInfo: { hasNextPage: boolean; endCursor?: string | null };
}

/** Returns a list of any length, read page after page. */
export function list<Data, Variables extends { after?: string | null }, Node>(
  document: DocumentInput<Data, Variables>,
  variables: () => Omit<Variables, 'after'>,
  page: (data: Data) => Page<Node>,
) {
  let nodes = $state.raw<Node[]>();
  let error = $state.raw<CombinedError>();
  $effect(() => {
    revision;
    const given = variables();
    let gone = false;
    const read = async (before: Node[], after?: string | null): Promise<void> => {
      const result = await client.query(document, { ...given, after } as Variables);
      if (gone) return;
      error = result.error;
      if (!result.data) return;
      const { nodes: more, pageInfo } = page(result.data);
      const all = [...before, ...more];
      if (pageInfo.hasNextPage) return read(all, pageInfo.endCursor);
      nodes = all;
    };
    void read([]);
    return () => {
      gone = true;
    };
  });
  return {
    get nodes() {
      return nodes;
    },
    get error() {
      return error;
    },
  };
}
