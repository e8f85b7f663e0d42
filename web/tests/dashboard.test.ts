import { accessible, expect, test } from './page';

const card = (name: string) => `li:has(h2:text-is("${name}"))`;
const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000);

test('an empty server shows the first steps', async ({ page, start }) => {
  const server = await start();
  await page.goto(server.url);
  await expect(page.getByRole('heading', { name: 'Nothing is counted yet' })).toBeVisible();
  await accessible(page);
  await page.getByRole('main').getByRole('link', { name: 'floor plan' }).click();
  await expect(page.getByRole('heading', { name: 'Floor plan' })).toBeVisible();
  await accessible(page);
});

test('a count changes within a second of the crossing', async ({ page, start }) => {
  const server = await start();
  await server.room('Hall', 'a', 10);
  await server.ingest('a', [ago(3), ago(2)]);
  await page.goto(server.url);
  const count = page.locator(card('Hall')).locator('[data-count]');
  await expect(count).toHaveText('2');
  await expect(page.getByRole('meter', { name: 'Hall: 2 of 10' })).toBeVisible();
  await server.ingest('a', [ago(1)]);
  await expect(count).toHaveText('3', { timeout: 1_000 });
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('3 people in 1 space');
});

test('a space that another client creates appears', async ({ page, start }) => {
  const server = await start();
  await server.room('Hall', 'a');
  await page.goto(server.url);
  await expect(page.locator(card('Hall'))).toBeVisible();
  await server.room('Studio', 'b');
  await expect(page.locator(card('Studio'))).toBeVisible({ timeout: 20_000 });
});

test('nobody there, no data lately, quiet, below zero, full and no sensor are shown differently', async ({ page, start }) => {
  const server = await start();
  for (const name of ['Empty', 'Quiet', 'Below', 'Full', 'Busy']) await server.room(name, name, 2);
  for (const name of ['Silent', 'Alive', 'Unheard']) await server.room(name, name, 9, { reports: 'INTERVALS', expectedEvery: 600 });
  await server.ask('mutation { spaceCreate(input: { name: "Unwatched" }) { space { id } } }');
  await server.ingest('Empty', [ago(2)]);
  await server.ingest('Empty', [ago(1)], 'AWAY');
  await server.ingest('Quiet', [ago(3 * 24 * 60)]);
  await server.ingestInterval('Silent', ago(60), ago(50), 1, 0);
  await server.ingestInterval('Alive', ago(11), ago(1), 3, 1);
  await server.ingest('Below', [ago(1)], 'AWAY');
  await server.ingest('Full', [ago(2), ago(1)]);
  await server.ingest('Busy', [ago(1)]);
  await page.goto(server.url);
  for (const [name, mark] of Object.entries({
    Empty: 'Nobody there',
    Silent: 'No data lately',
    Unheard: 'No data lately',
    Alive: 'People there',
    Quiet: 'Quiet lately',
    Below: 'Below zero',
    Full: 'Full',
    Busy: 'People there',
    Unwatched: 'No sensor here',
  })) {
    await expect(page.locator(card(name))).toContainText(mark);
  }
  await expect(page.locator(card('Quiet'))).toContainText('last crossing 3 days ago');
  await expect(page.locator(card('Alive'))).toContainText('last heard just now');
  await accessible(page);
  await page.emulateMedia({ colorScheme: 'dark' });
  await accessible(page);
  await page.setViewportSize({ width: 360, height: 740 });
  await accessible(page);
});

test('a DPU that is heard of no more is late', async ({ page, start }) => {
  const server = await start();
  await server.room('Hall', 'a', 10, { reports: 'INTERVALS', expectedEvery: 1 });
  await server.ingestInterval('a', ago(2), ago(1), 1, 0);
  const late = async () => (await server.ask('{ spaces { nodes { health } } }')).spaces.nodes[0].health;
  await expect.poll(late).toBe('LATE');
  await page.goto(server.url);
  await expect(page.locator(card('Hall'))).toContainText(/No data lately.*DPU (late|offline)/);
  await accessible(page);
});

test.describe('a server', () => {
  test.use({ tolerated: [/WebSocket connection|Failed to load resource/] });

  test('that stops is shown as not reachable until it answers again', async ({ page, start }) => {
    const server = await start();
    await server.room('Hall', 'a');
    await server.ingest('a', [ago(1)]);
    await page.goto(server.url);
    await expect(page.locator(card('Hall'))).toContainText('People there');
    await server.stop();
    await expect(page.getByRole('status').filter({ hasText: 'Not reachable.' })).toBeVisible();
    await expect(page.locator(card('Hall'))).toContainText('Not reachable');
    await expect(page.locator(card('Hall')).locator('[data-count]')).toHaveText('1');
    await accessible(page);
    await server.startAgain();
    await expect(page.locator(card('Hall'))).toContainText('People there', { timeout: 15_000 });
  });

  test('that requires a token gets it by HTTP and by WebSocket', async ({ page, start }) => {
    const server = await start();
    await server.room('Hall', 'a');
    const token = await server.token('viewer', '--role', 'read');
    const authorizations: (string | undefined)[] = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/graphql')) authorizations.push(request.headers().authorization);
    });
    const firsts: string[] = [];
    page.on('websocket', (socket) => socket.once('framesent', ({ payload }) => firsts.push(String(payload))));
    await page.goto(server.url);
    await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
    await accessible(page);
    await page.getByLabel('Token').fill('wrong');
    await page.keyboard.press('Enter');
    await expect(page.getByText('does not accept this token')).toBeVisible();
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page.locator(card('Hall'))).toBeVisible();
    expect([...new Set(authorizations)]).toEqual([undefined, 'Bearer wrong', `Bearer ${token}`]);
    await expect.poll(() => firsts.at(-1)).toContain(`"authorization":"Bearer ${token}"`);
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('0 people in 1 space');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  });
});

test('a page of 500 spaces stays responsive, with one subscription', async ({ page, start }) => {
  test.setTimeout(120_000);
  const server = await start();
  const rooms = Array.from({ length: 500 }, (_, index) => `Room ${String(index).padStart(3, '0')}`);
  for (const name of rooms) await server.room(name, name, 100);
  let sockets = 0;
  let subscriptions = 0;
  page.on('websocket', (socket) => {
    sockets++;
    socket.on('framesent', ({ payload }) => (subscriptions += String(payload).includes('"subscribe"') ? 1 : 0));
  });
  await page.goto(server.url);
  await expect(page.getByRole('listitem')).toHaveCount(500);

  // The longest task of the page while every space changes again and again.
  await page.evaluate(() => {
    const longest = { ms: 0, frames: 0 };
    Object.assign(globalThis, { longest });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest.ms = Math.max(longest.ms, duration);
    }).observe({ type: 'longtask' });
    const frame = () => (longest.frames++, requestAnimationFrame(frame));
    requestAnimationFrame(frame);
  });
  const begun = Date.now();
  for (let round = 0; round < 20; round++) {
    const ts = new Date();
    await server.ask('mutation ($events: [EventInput!]!) { ingest(events: $events) { accepted } }', {
      events: rooms.map((dpu) => ({ dpu, ts, direction: 'TOWARD', seq: round })),
    });
  }
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('10000 people in 500 spaces');
  const { ms, frames } = await page.evaluate(() => (globalThis as unknown as { longest: { ms: number; frames: number } }).longest);
  const rate = (frames * 1000) / (Date.now() - begun);
  test.info().annotations.push({ type: 'smoothness', description: `longest task ${ms} ms, ${rate.toFixed(0)} frames a second` });
  console.log(`500 spaces, 10000 changes: longest task ${ms} ms, ${rate.toFixed(0)} frames a second`);
  expect(ms).toBeLessThan(500);
  expect(rate).toBeGreaterThan(15);
  expect([sockets, subscriptions]).toEqual([1, 1]);
});
