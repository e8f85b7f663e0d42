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

test('a DPU that reports running totals', async ({ page, start }) => {
  const server = await start();
  await page.goto(`${server.url}/floor-plan`);
  await page.getByRole('button', { name: 'New DPU' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Serial').fill('22');
  await expect(dialog.getByLabel('Counter bits')).toBeHidden();
  await dialog.getByLabel(/^Reports/).selectOption('running totals');
  await dialog.getByLabel('Counter bits').selectOption('16');
  await dialog.getByLabel('Max per minute').fill('100');
  await dialog.getByLabel('Expected every (s)').fill('600');
  await accessible(page);
  await dialog.getByRole('button', { name: 'Create' }).click();
  const row = page.getByRole('region', { name: 'DPUs' }).getByRole('row', { name: /^22 / });
  await expect(row).toContainText('running totals');
  await expect(row).toContainText('Never heard of');
  const known = async () => (await server.ask('{ dpu(serial: "22") { reports counterBits maxPerMinute expectedEvery } }')).dpu;
  expect(await known()).toEqual({ reports: 'TOTALS', counterBits: 16, maxPerMinute: 100, expectedEvery: 600 });

  // What it reports cannot change once something is stored of it.
  await server.ingestTotals('22', [[new Date().toISOString(), 7, 5]]);
  await page.reload();
  await expect(row).toContainText('Online');
  await expect(row).toContainText('heard just now');
  await page.getByRole('button', { name: 'Change DPU 22' }).click();
  await expect(dialog.getByLabel('Counter bits')).toHaveValue('16');
  await dialog.getByLabel(/^Reports/).selectOption('intervals');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.getByRole('alert')).toContainText('what it reports cannot change');
  await dialog.getByLabel(/^Reports/).selectOption('running totals');
  await dialog.getByLabel('Counter bits').selectOption('never rolls over');
  await dialog.getByLabel('Max per minute').fill('');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toBeHidden();
  expect(await known()).toEqual({ reports: 'TOTALS', counterBits: null, maxPerMinute: null, expectedEvery: 600 });

  await accessible(page);
  await page.setViewportSize({ width: 390, height: 844 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
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
