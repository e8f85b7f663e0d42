// Takes the README's pictures, of the sample: npm run screenshots

import { expect, test } from './page';

const DAY = 24 * 60 * 60 * 1000;

test('screenshots', async ({ page, start }) => {
  const server = await start({ sample: true });
  await server.sampleUntilToday();
  for (const space of [1, 2]) {
    const rule = { space, timeOfDay: '04:00', count: 3, firstDay: new Date(Date.now() - 20 * DAY).toISOString().slice(0, 10) };
    await server.ask('mutation ($rule: ResetRuleCreateInput!) { resetRuleCreate(input: $rule) { userErrors { message } } }', { rule });
  }
  const picture = (name: string) => page.screenshot({ path: `../docs/${name}.png` });

  await page.setViewportSize({ width: 900, height: 360 });
  await page.goto(server.url);
  await expect(page.getByRole('listitem')).toHaveCount(2);
  await picture('dashboard');

  await page.setViewportSize({ width: 1100, height: 860 });
  const at = new Date(Math.floor(Date.now() / DAY) * DAY - 4 * DAY + 15.57 * 60 * 60 * 1000);
  at.setUTCMinutes(34, 0, 0);
  await page.goto(`${server.url}/spaces/2?span=604800000&at=${at.toISOString()}`);
  await expect(page.locator('figure')).toHaveAttribute('aria-busy', 'false');
  await picture('space');
});
