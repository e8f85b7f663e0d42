import { expect, test } from './page';

test('GraphiQL runs a query and a subscription, and sends requests to the server only', async ({ page, start }) => {
  const server = await start();
  await server.room('Hall', 'a');
  await page.goto(`${server.url}/graphiql`);
  const editor = page.locator('.graphiql-query-editor');
  const answer = page.getByRole('region', { name: 'Result Window' });
  const run = page.getByRole('button', { name: /Execute query/ });
  for (const name of ['Counts', 'History', 'Live', 'Move']) await expect(page.getByRole('tab', { name })).toBeVisible();

  await expect(editor).toContainText('query Counts');
  await run.click();
  await expect(answer).toContainText('"Hall"');

  await page.getByRole('tab', { name: 'Live' }).click();
  await expect(editor).toContainText('subscription Live');
  // GraphiQL can run the tab's operation only a moment after it has shown it.
  await expect(async () => {
    await run.click({ timeout: 1_000 });
    await expect(answer).toContainText('"count": 0', { timeout: 1_000 });
  }).toPass();
  await server.ingest('a', ['2025-03-04T15:00:00Z']);
  await expect(answer).toContainText('"count": 1');

  // The documentation comes from the schema.
  await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
  await page.getByRole('link', { name: 'Subscription' }).or(page.getByText('Subscription', { exact: true })).first().click();
  await expect(page.getByText('The subscriptions.')).toBeVisible();
});
