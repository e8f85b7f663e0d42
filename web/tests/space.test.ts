import { readFile } from 'node:fs/promises';
import { accessible, expect, test } from './page';

// The sample's two weeks end here.
const sample = '/spaces/1?span=604800000&end=2025-03-10T00:00:00.000Z';

test('the slider shows the same counts as REST', async ({ page, start }) => {
  const server = await start({ sample: true });
  await page.goto(server.url + sample);
  const slider = page.getByRole('slider', { name: 'Instant' });
  const answer = page.locator('[data-answer][aria-busy="false"]');
  const at = page.getByLabel('Instant (UTC)');

  // By the field, to the second.
  await at.fill('2025-03-06T15:34:00');
  await at.blur();
  await expect(answer).toHaveText(String(await server.restCount('1', '2025-03-06T15:34:00Z')));
  await expect(slider).toHaveAttribute('aria-valuetext', 'Mar 6, 2025, 3:34:00 PM');

  // By the keyboard, a minute a step.
  await slider.focus();
  for (const key of ['ArrowLeft', 'ArrowLeft', 'PageUp', 'Home', 'ArrowRight', 'PageUp', 'PageUp']) {
    await page.keyboard.press(key);
    const ts = new Date(Number(await slider.inputValue())).toISOString();
    await expect(answer).toHaveText(String(await server.restCount('1', ts)));
    await expect(page).toHaveURL(new RegExp(encodeURIComponent(ts)));
  }

  // By the mouse, on the slider and on the chart.
  const { x, y, width, height } = (await slider.boundingBox())!;
  for (const part of [0.2, 0.55, 0.8]) {
    await page.mouse.click(x + width * part, y + height / 2);
    const ts = new Date(Number(await slider.inputValue())).toISOString();
    await expect(answer).toHaveText(String(await server.restCount('1', ts)));
  }
  await page.getByRole('img', { name: /^The count/ }).click({ position: { x: 300, y: 100 } });
  await expect(page).not.toHaveURL(new RegExp(encodeURIComponent(new Date(Number(await slider.inputValue())).toISOString()) + '$'));
  const picked = new URL(page.url()).searchParams.get('at')!;
  await expect(answer).toHaveText(String(await server.restCount('1', picked)));
});

test('the breakdown of a count adds up, and times are in the selected zone', async ({ page, start }) => {
  const server = await start({ sample: true });
  await page.goto(`${server.url}${sample}&at=2025-03-06T15:34:00.000Z`);
  const count = await server.restCount('1', '2025-03-06T15:34:00Z');
  const table = page.getByRole('region', { name: 'What the count is made of' });
  await expect(page.getByRole('heading', { name: `Why ${count} at Mar 6, 2025, 3:34:00 PM` })).toBeVisible();
  const adds = await table.locator('tbody td:last-child').allTextContents();
  expect(adds.map(Number).reduce((sum, net) => sum + net)).toBe(count);
  await expect(page.getByRole('region', { name: 'Doorways and DPUs' })).toContainText('until Mar 10, 2025, 12:00 AM');
  await accessible(page);

  await page.getByLabel('Times').selectOption('America/New_York');
  await expect(page.getByRole('heading', { name: `Why ${count} at Mar 6, 2025, 10:34:00 AM` })).toBeVisible();
  await page.getByLabel('Times').selectOption('mine');
  await expect(page.getByLabel('Instant (Europe/Zurich)')).toHaveValue('2025-03-06T16:34');
  await page.reload();
  await expect(page.getByLabel('Instant (Europe/Zurich)')).toHaveValue('2025-03-06T16:34');
});

test('ranges, zoom and the CSV of what is shown', async ({ page, start }) => {
  const server = await start({ sample: true });
  await page.goto(server.url + sample);
  const crossings = page.getByRole('img', { name: /^Crossings: \d+ entrances/ });
  const seen = new Set<string | null>();
  for (const range of ['Hour', '6 hours', 'Day', 'Week', 'Month', 'Quarter', 'Year']) {
    await page.getByRole('button', { name: range, exact: true }).click();
    await expect(page.getByRole('button', { name: range, exact: true })).toHaveAttribute('aria-pressed', 'true');
    await expect(page.locator('figure')).toHaveAttribute('aria-busy', 'false');
    seen.add(await crossings.getAttribute('aria-label'));
  }
  expect(seen.size).toBeGreaterThan(3);

  await page.getByRole('button', { name: 'Week', exact: true }).click();
  const { x, y, width } = (await page.getByRole('img', { name: /^The count/ }).boundingBox())!;
  await page.mouse.move(x + width * 0.4, y + 100);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.6, y + 100, { steps: 5 });
  await page.mouse.up();
  await expect.poll(() => Number(new URL(page.url()).searchParams.get('span')) / 604_800_000).toBeCloseTo(0.2, 1);
  await page.getByRole('button', { name: 'Earlier' }).click();
  await expect(page.locator('figure')).toHaveAttribute('aria-busy', 'false');

  const downloading = page.waitForEvent('download');
  await page.getByRole('button', { name: 'CSV' }).click();
  const download = await downloading;
  expect(download.suggestedFilename()).toBe('Room 1.csv');
  const [head, ...rows] = (await readFile(await download.path(), 'utf8')).trim().split('\n');
  expect(head).toBe('start,end,count,min,max,average,entrances,exits,utilization');
  const entrances = rows.reduce((sum, row) => sum + Number(row.split(',')[6]), 0);
  await expect(crossings).toHaveAccessibleName(new RegExp(`^Crossings: ${entrances} entrances`));
});

test('a crossing appears on the chart and in the count at once', async ({ page, start }) => {
  const server = await start();
  const id = await server.room('Hall', 'a', 10);
  await page.goto(`${server.url}/spaces/${id}?span=3600000`);
  await expect(page.getByRole('img', { name: 'Crossings: 0 entrances and 0 exits.' })).toBeVisible();
  await server.ingest('a', [new Date()]);
  await expect(page.locator('[data-count]')).toHaveText('1', { timeout: 1_000 });
  await expect(page.getByRole('img', { name: 'Crossings: 1 entrances and 0 exits.' })).toBeVisible();
  await expect(page.locator('[data-answer]')).toHaveText('1');
});

test('a reset ends drift', async ({ page, start }) => {
  const server = await start({ sample: true });
  await page.goto(`${server.url}${sample}`);
  await page.getByRole('button', { name: 'Reset the count…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Reset Room 1' });
  await dialog.getByLabel('People').fill('7');
  await dialog.getByLabel('At (UTC)').fill('2025-03-09T03:00:00');
  await dialog.getByLabel('Note').fill('by hand');
  await accessible(page);
  await dialog.getByRole('button', { name: 'Reset' }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByRole('region', { name: 'Recorded resets' })).toContainText('Mar 9, 2025, 3:00:00 AM7by hand');
  expect(await server.restCount('1', '2025-03-09T03:00:00Z')).toBe(7);
  await expect(page.getByRole('region', { name: 'What the count is made of' })).toContainText('Reset of Mar 9, 2025, 3:00:00 AM');
});

test('within an interval, the count is a range; missing reports and gaps are marked', async ({ page, start }) => {
  const server = await start();
  const id = await server.room('Garden', '21', 60, { reports: 'INTERVALS', expectedEvery: 600 });
  await server.ingestInterval('21', '2025-03-04T09:00:00Z', '2025-03-04T09:10:00Z', 42, 0);
  await server.ingestInterval('21', '2025-03-04T10:00:00Z', '2025-03-04T10:10:00Z', 2, 2);
  const view = (space: string, at: string) => `${server.url}/spaces/${space}?span=21600000&end=2025-03-04T12:00:00.000Z&at=2025-03-04T${at}.000Z`;
  await page.goto(view(id, '10:04:00'));
  await expect(page.locator('[data-answer]')).toHaveText('42');
  await expect(page.locator('[data-range]')).toHaveText('between 40 and 44: DPU 21 reports intervals, the next ends at 10:10:00 AM');
  await expect(page.getByRole('region', { name: 'What the count is made of' })).toContainText('21, inside, reports intervals');
  await expect(page.locator('figcaption')).toContainText('no reports: nobody was counted');
  await expect(page.getByRole('img', { name: /^The count.*At times, no reports: nobody was counted\./ })).toBeVisible();
  await accessible(page);
  await page.emulateMedia({ colorScheme: 'dark' });
  await accessible(page);
  await page.getByLabel('Instant (UTC)').fill('2025-03-04T10:10:00');
  await page.getByLabel('Instant (UTC)').blur();
  await expect(page.locator('[data-answer][aria-busy="false"]')).toHaveText('42');
  await expect(page.locator('[data-range]')).toBeHidden();

  const roof = await server.room('Roof', '22', null, { reports: 'TOTALS' });
  await server.ingestTotals('22', [['2025-03-04T09:00:00Z', 50, 20], ['2025-03-04T10:00:00Z', 60, 25], ['2025-03-04T10:30:00Z', 4, 25]]);
  await page.goto(view(roof, '10:15:00'));
  await expect(page.locator('[data-range]')).toHaveText('between 5 and 9: DPU 22 reports running totals, the next reading is at 10:30:00 AM');
  await expect(page.locator('figcaption')).toContainText('a counter began again: people may be missing');
  await expect(page.getByRole('region', { name: 'What the count is made of' })).toContainText('Its counter began again between Mar 4, 2025, 10:00 AM');
});

test('an unknown space is not found', async ({ page, start }) => {
  const server = await start();
  await page.goto(`${server.url}/spaces/99`);
  await expect(page.getByRole('heading', { name: 'Space not found' })).toBeVisible();
  await accessible(page);
});
