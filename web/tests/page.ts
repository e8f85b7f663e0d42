// A browser page that logs no errors or warnings, and sends requests to the server only.

import AxeBuilder from '@axe-core/playwright';
import { expect, test as base, type Page } from '@playwright/test';
import { Server } from './server';

export { expect };

interface Fixtures {
  /** Starts a server that stops after the page is closed. */
  start: typeof Server.start;
  /** Messages that are allowed: a test that breaks the connection lists its errors. */
  tolerated: RegExp[];
}

export const test = base.extend<Fixtures>({
  tolerated: async ({}, use) => use([]),
  start: async ({}, use) => {
    const servers: Server[] = [];
    await use(async (options) => {
      const server = await Server.start(options);
      servers.push(server);
      return server;
    });
    for (const server of servers) await server.end();
  },
  page: async ({ page, tolerated, start: _ }, use) => {
    const complaints: string[] = [];
    // Violations of the Content-Security-Policy are logged to the console.
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.route(
      (url) => !['127.0.0.1'].includes(url.hostname),
      (route) => {
        complaints.push(`asked ${route.request().url()}`);
        return route.abort();
      },
    );
    await use(page);
    expect(complaints.filter((complaint) => !tolerated.some((one) => one.test(complaint)))).toEqual([]);
  },
});

/** Fails if the page has a serious accessibility problem. */
export async function accessible(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)).toEqual([]);
}
