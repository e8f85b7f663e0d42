import { accessible, expect, test } from './page';

test('from an empty server to a first count, by keyboard', async ({ page, start }) => {
  const server = await start();
  await page.goto(`${server.url}/floor-plan`);
  const open = async (button: string) => {
    await page.getByRole('button', { name: button }).focus();
    await page.keyboard.press('Enter');
  };
  await open('New space');
  await page.getByLabel('Name', { exact: true }).pressSequentially('Hall');
  await page.keyboard.press('Tab');
  await page.keyboard.type('40');
  await accessible(page);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('region', { name: 'Spaces' })).toContainText('Hall40');

  await open('New space');
  await page.getByLabel('Name', { exact: true }).pressSequentially('Hall');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toHaveText('another space has this name');
  await page.keyboard.press('Escape');

  await open('New DPU');
  await page.getByLabel('Serial').pressSequentially('283');
  await page.keyboard.press('Enter');
  await open('Assign DPU 283');
  await page.getByLabel('It hangs inside').selectOption('Hall');
  await page.getByRole('textbox', { name: 'Doorway' }).fill('Front door');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('region', { name: 'DPUs' })).toContainText('Hall inside');

  await server.ingest('283', ['2025-03-01T12:00:00Z']);
  await page.getByRole('link', { name: 'Hall' }).click();
  await expect(page.locator('[data-count]')).toHaveText('1');
  await expect(page.getByRole('region', { name: 'Doorways and DPUs' })).toContainText('always');
});

test('a move in the past changes all counts since then', async ({ page, start }) => {
  const server = await start();
  const [hall, studio] = [await server.room('Hall', 'a'), await server.room('Studio', 'b')];
  const [before, after] = ['2025-03-04T14:00:00Z', '2025-03-04T15:00:00Z'];
  await server.ingest('a', [before, after]);
  expect([await server.restCount(hall, after), await server.restCount(studio, after)]).toEqual([2, 0]);

  await page.goto(`${server.url}/floor-plan`);
  await page.getByRole('button', { name: 'Move DPU a' }).click();
  const dialog = page.getByRole('dialog', { name: 'Move DPU a' });
  await dialog.getByLabel('It hangs inside').selectOption('Studio');
  await dialog.getByLabel(/^Since \(UTC\)/).fill('2025-03-04T14:30:00');
  await accessible(page);
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByRole('region', { name: 'DPUs' }).getByRole('row', { name: /^a / })).toContainText('Studio inside');

  expect([await server.restCount(hall, after), await server.restCount(studio, after)]).toEqual([1, 1]);
  expect([await server.restCount(hall, before), await server.restCount(studio, before)]).toEqual([1, 0]);
  await page.goto(`${server.url}/spaces/${studio}?end=2025-03-05T00:00:00.000Z&at=2025-03-04T16:00:00.000Z`);
  await expect(page.locator('[data-answer]')).toHaveText('1');
});

test('a DPU over a door between two spaces counts for both', async ({ page, start }) => {
  const server = await start();
  const [hall, studio] = [await server.room('Hall', 'a'), await server.room('Studio', 'b')];
  await page.goto(`${server.url}/floor-plan`);
  await page.getByRole('button', { name: 'Move DPU a' }).click();
  await page.getByLabel('It hangs inside').selectOption('Hall');
  await page.getByLabel('Behind the doorway is').selectOption('Studio');
  await page.getByLabel(/^Since/).fill('2025-03-04T14:30:00');
  await page.getByRole('button', { name: 'Move', exact: true }).click();
  await expect(page.getByRole('region', { name: 'DPUs' }).getByRole('row', { name: /^a / })).toContainText('Studio outside');
  await server.ingest('a', ['2025-03-04T15:00:00Z']);
  expect([await server.restCount(hall, '2025-03-05'), await server.restCount(studio, '2025-03-05')]).toEqual([1, -1]);
});
