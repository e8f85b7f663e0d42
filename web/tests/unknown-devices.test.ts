import type { Page } from '@playwright/test';
import { accessible, expect, test } from './page';
import type { Server } from './server';

/** Sends a reading of a sensor whose totals have 32 bits or more. */
const irisys = (server: Server, serial: string, ts: string, people: [toward: number, away: number]) =>
  server.send('irisys?in=0&out=1', {
    FriendlyDeviceSerial: serial,
    CountLogs: [{ Timestamp: ts, Counts: people.map((Value, RegisterId) => ({ RegisterId, Value })) }],
  });

/** Sends a reading of a LoRaWAN sensor whose totals have 16 bits. */
const chirpstack = (server: Server, devEui: string) =>
  server.send('chirpstack?event=up', {
    deviceInfo: { devEui }, time: '2025-03-04T10:00:00Z', fPort: 85, object: { total_in: 7, total_out: 5 },
  });

const section = (page: Page) => page.getByRole('region', { name: 'Unknown devices' });

test('an unknown device becomes a DPU with one click, and what it sent before counts', async ({ page, start }) => {
  const server = await start();
  const hall = await server.room('Hall', 'a');
  await page.goto(`${server.url}/floor-plan`);
  await expect(page.getByRole('region', { name: 'DPUs' })).toContainText('Never heard of');
  await expect(section(page)).toBeHidden();

  expect(await irisys(server, 'V4D-17', '2025-03-04T10:00:00Z', [100, 40])).toMatchObject({ accepted: 0, unknown: 1 });
  // It appears without a reload.
  await expect(section(page)).toContainText('V4D-17', { timeout: 15_000 });
  await expect(section(page)).toContainText('Reports running totals');
  await expect(section(page)).toContainText('Format irisys · 1 report kept · first heard just now, last heard just now');
  await section(page).getByText('Newest report').click();
  await expect(section(page).getByRole('region', { name: 'Newest report of V4D-17' })).toContainText('"serial": "V4D-17"');
  await accessible(page);

  await section(page).getByRole('button', { name: 'Create DPU V4D-17' }).click();
  await expect(section(page)).toBeHidden();
  const row = page.getByRole('region', { name: 'DPUs' }).getByRole('row', { name: /^V4D-17 / });
  await expect(row).toContainText('running totals');
  await expect(row).toContainText('heard just now');
  await expect(page.getByText('DPU V4D-17 was created')).toBeFocused();
  const created = page.locator('div', { has: page.getByText('DPU V4D-17 was created') }).last();
  await accessible(page);
  await created.getByRole('button', { name: 'Assign DPU V4D-17' }).click();
  await page.getByLabel('It hangs inside').selectOption('Hall');
  await page.getByRole('dialog').getByRole('button', { name: 'Assign' }).click();
  await expect(row).toContainText('Hall inside');
  await expect(page.getByText('DPU V4D-17 was created')).toBeHidden();

  // A later reading counts those who crossed since the one that was kept.
  expect(await irisys(server, 'V4D-17', '2025-03-04T10:10:00Z', [105, 42])).toMatchObject({ accepted: 1, unknown: 0 });
  expect(await server.restCount(hall, '2025-03-04T10:10:00Z')).toBe(3);
});

test('several unknown devices, by keyboard, at 320 pixels', async ({ page, start }) => {
  const server = await start();
  await irisys(server, 'V4D-17', '2025-03-04T10:00:00Z', [100, 40]);
  await chirpstack(server, '24e124791d204418');
  await page.setViewportSize({ width: 320, height: 700 });
  await page.goto(`${server.url}/floor-plan`);
  const device = (serial: string) => section(page).getByRole('listitem').filter({ has: page.getByRole('heading', { name: serial }) });
  await expect(section(page).getByRole('listitem')).toHaveCount(2);
  await expect(device('24e124791d204418')).toContainText('Reports running totals, with counters of 16 bits');
  for (const summary of await section(page).getByText('Newest report').all()) {
    await summary.focus();
    await page.keyboard.press('Enter');
  }
  await expect(device('24e124791d204418')).toContainText('"bits": 16');
  await accessible(page);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320);

  await page.getByRole('searchbox').fill('v4d');
  await expect(section(page).getByRole('listitem')).toHaveCount(1);
  await page.getByRole('searchbox').fill('');
  await page.getByRole('button', { name: 'Create DPU 24e124791d204418' }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByText('DPU 24e124791d204418 was created')).toBeFocused();
  await expect(section(page).getByRole('listitem')).toHaveCount(1);
  expect((await server.ask('{ dpu(serial: "24e124791d204418") { reports counterBits clock } }')).dpu).toEqual({
    reports: 'TOTALS', counterBits: 16, clock: 'DEVICE',
  });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
});

test('why a DPU cannot be created is said beside the button', async ({ page, start }) => {
  const server = await start();
  await chirpstack(server, '24e124791d204418');
  await page.goto(`${server.url}/floor-plan`);
  const button = section(page).getByRole('button', { name: 'Create DPU 24e124791d204418' });
  await expect(button).toBeVisible();
  await server.ask('mutation { dpuCreate(input: { serial: "24E124-791D-204418" }) { userErrors { message } } }');
  await button.click();
  await expect(section(page).getByRole('alert')).toHaveText(/is the same serial in another spelling/);
  await accessible(page);
});

test('of more than 100 unknown devices the first are listed', async ({ page, start }) => {
  const server = await start();
  for (let index = 100; index <= 200; index++) await irisys(server, `V4D-${index}`, '2025-03-04T10:00:00Z', [1, 0]);
  await page.goto(`${server.url}/floor-plan`);
  await expect(section(page).getByRole('listitem')).toHaveCount(100);
  await expect(section(page)).toContainText('Only the first 100 devices are listed.');
  await section(page).getByRole('button', { name: 'Create DPU V4D-100' }).click();
  await expect(section(page)).toContainText('V4D-200');
  await expect(section(page)).not.toContainText('Only the first 100 devices are listed.');
});

test.describe('unknown devices with tokens', () => {
  test.use({ tolerated: [/40[13]/] });

  test('are listed only to those who may create DPUs', async ({ page, start }) => {
    const server = await start();
    await server.room('Hall', 'a');
    await irisys(server, 'V4D-17', '2025-03-04T10:00:00Z', [100, 40]);
    const [viewer, owner] = [await server.token('viewer', '--role', 'read'), await server.token('owner', '--role', 'admin')];
    await page.goto(server.url);
    const open = async (token: string) => {
      await page.evaluate((token) => sessionStorage.setItem('headcount.token', token), token);
      const answered = page.waitForResponse((response) => !!response.request().postData()?.includes('UnknownDevices'));
      await page.goto(`${server.url}/floor-plan`);
      await answered;
      await expect(page.getByRole('region', { name: 'DPUs' })).toContainText('Never heard of');
    };
    await open(viewer);
    await expect(page.getByRole('alert')).toBeHidden();
    await expect(section(page)).toBeHidden();
    await open(owner);
    await expect(section(page)).toContainText('V4D-17');
  });
});

test('which clock of a device is trusted', async ({ page, start }) => {
  const server = await start();
  await page.goto(`${server.url}/floor-plan`);
  await page.getByRole('button', { name: 'New DPU' }).click();
  const dialog = page.getByRole('dialog');
  const trusted = dialog.getByLabel(/^Which clock to trust/);
  const within = dialog.getByLabel('Off by at most (s)');
  await dialog.getByLabel('Serial').fill('22');
  await expect(trusted).toHaveValue('DEVICE');
  await expect(within).toBeHidden();
  await trusted.selectOption("the device's, if about right");
  await dialog.getByRole('button', { name: 'Create' }).click();
  // It asks for the seconds.
  await expect(within).toBeFocused();
  await within.fill('900');
  await dialog.getByLabel('Time zone of its clock').selectOption('America/New_York');
  await accessible(page);
  await dialog.getByRole('button', { name: 'Create' }).click();
  await expect(dialog).toBeHidden();
  const known = async () => (await server.ask('{ dpu(serial: "22") { clock clockWithin } }')).dpu;
  expect(await known()).toEqual({ clock: 'DEVICE_WITHIN', clockWithin: 900 });
  expect((await server.ask('{ dpu(serial: "22") { timeZone } }')).dpu.timeZone).toBe('America/New_York');

  const change = page.getByRole('button', { name: 'Change DPU 22' });
  await change.click();
  await expect(within).toHaveValue('900');
  await trusted.selectOption('the time of arrival');
  await expect(within).toBeHidden();
  await expect(dialog).toContainText('A crossing that is sent again counts twice.');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toBeHidden();
  expect(await known()).toEqual({ clock: 'ARRIVAL', clockWithin: null });

  await change.click();
  await expect(trusted).toHaveValue('ARRIVAL');
  await expect(dialog.getByLabel('Time zone of its clock')).toHaveValue('America/New_York');
  await trusted.selectOption("the device's");
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toBeHidden();
  expect(await known()).toEqual({ clock: 'DEVICE', clockWithin: null });
});
