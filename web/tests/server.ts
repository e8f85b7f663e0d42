// A Headcount server for one test, on a free loopback port, with a database that is deleted at the end.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const root = resolve(import.meta.dirname, '../..');
const headcount = process.env.HEADCOUNT_BIN ?? join(root, 'target/debug/headcount');
const seed = process.env.SEED_BIN ?? join(root, 'target/debug/seed');

export class Server {
  private constructor(
    readonly url: string,
    private readonly folder: string,
    private process: ChildProcess,
  ) {}

  static async start({ sample = false } = {}): Promise<Server> {
    const folder = await mkdtemp(join(tmpdir(), 'headcount-'));
    const env = { ...process.env, DATABASE_URL: `sqlite://${folder}/headcount.db?mode=rwc`, RUST_LOG: 'headcount=info' };
    if (sample) {
      const { status, stderr } = spawnSync(seed, { env });
      if (status !== 0) throw new Error(`${seed}: ${stderr}`);
    }
    const [url, child] = await run(env, '127.0.0.1:0');
    return new Server(url, folder, child);
  }

  /** Ends the process, and keeps the database and the address. */
  async stop() {
    const gone = once(this.process, 'exit');
    this.process.kill();
    await gone;
  }

  async startAgain() {
    const env = { ...process.env, DATABASE_URL: `sqlite://${this.folder}/headcount.db?mode=rwc`, RUST_LOG: 'headcount=info' };
    [, this.process] = await run(env, new URL(this.url).host);
  }

  /** Ends the process, if it runs, and deletes the database. */
  async end() {
    if (this.process.exitCode === null) await this.stop();
    await rm(this.folder, { recursive: true });
  }

  /** Runs a GraphQL operation that belongs to a test, not to the pages. */
  async ask(query: string, variables: object = {}): Promise<any> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${this.url}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
    const { data, errors } = await response.json();
    if (errors) throw new Error(JSON.stringify(errors));
    return data;
  }

  /** Creates a space and a DPU that hangs inside it. Returns the id of the space. */
  async room(name: string, serial: string, capacity: number | null = null, dpu: object = {}): Promise<string> {
    const { spaceCreate } = await this.ask(
      'mutation ($input: SpaceCreateInput!) { spaceCreate(input: $input) { space { id } } }',
      { input: { name, capacity } },
    );
    const { dpuCreate } = await this.ask(
      'mutation ($input: DpuCreateInput!) { dpuCreate(input: $input) { dpu { id } } }',
      { input: { serial, ...dpu } },
    );
    const space = spaceCreate.space.id;
    await this.ask(
      'mutation ($dpu: ID!, $space: ID!) { assignmentCreate(input: { dpu: $dpu, space: $space, placement: INSIDE }) { userErrors { message } } }',
      { dpu: dpuCreate.dpu.id, space },
    );
    return space;
  }

  /** Records an entrance, or with `AWAY` an exit, at each of these instants. */
  async ingest(dpu: string, instants: (Date | string)[], direction = 'TOWARD') {
    const events = instants.map((ts, seq) => ({ dpu, ts, direction, seq }));
    const { ingest } = await this.ask('mutation ($events: [EventInput!]!) { ingest(events: $events) { accepted } }', { events });
    if (ingest.accepted !== events.length) throw new Error(`accepted ${ingest.accepted} of ${events.length}`);
  }

  /** Records an interval of a DPU that reports intervals. */
  async ingestInterval(dpu: string, from: Date | string, to: Date | string, toward: number, away: number) {
    const intervals = [{ dpu, from, to, toward, away }];
    const { ingestIntervals } = await this.ask(
      'mutation ($intervals: [IntervalInput!]!) { ingestIntervals(intervals: $intervals) { accepted } }',
      { intervals },
    );
    if (ingestIntervals.accepted !== 1) throw new Error('the interval was not accepted');
  }

  /** Records readings of the totals of a DPU. */
  async ingestTotals(dpu: string, readings: [ts: string, totalToward: number, totalAway: number][]) {
    const totals = readings.map(([ts, totalToward, totalAway]) => ({ dpu, ts, totalToward, totalAway }));
    const { ingestTotals } = await this.ask('mutation ($totals: [TotalInput!]!) { ingestTotals(totals: $totals) { accepted } }', { totals });
    if (ingestTotals.accepted !== totals.length) throw new Error(`accepted ${ingestTotals.accepted} of ${totals.length}`);
  }

  /** Sends a message of a device in a format of its own, with settings in the address: `irisys?in=0&out=1`. */
  async send(format: string, message: object): Promise<{ accepted: number; unknown: number }> {
    const response = await fetch(`${this.url}/devices/${format}`, { method: 'POST', body: JSON.stringify(message) });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as { accepted: number; unknown: number };
  }

  /** Creates a token on the command line, and returns when the server requires one. */
  async token(...options: string[]): Promise<string> {
    const env = { ...process.env, DATABASE_URL: `sqlite://${this.folder}/headcount.db?mode=rwc` };
    const { status, stdout, stderr } = spawnSync(headcount, ['token', 'create', ...options], { env, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    while ((await fetch(`${this.url}/space/1/count`)).status !== 401) await new Promise((resolve) => setTimeout(resolve, 5));
    return stdout.trim();
  }

  async restCount(space: string, ts: string): Promise<number> {
    const response = await fetch(`${this.url}/space/${space}/count?ts=${ts}`);
    return ((await response.json()) as { count: number }).count;
  }

  /** Loads the sample's events again, moved by so many days that the last of them happen today. */
  async sampleUntilToday() {
    const rows = (await readFile(join(root, 'seed/sample/events.csv'), 'utf8')).trim().split('\n').slice(1);
    const day = 24 * 60 * 60 * 1000;
    const events = rows.map((row) => row.replaceAll('"', '').split(',') as [string, string, string]);
    const last = Math.max(...events.map(([ts]) => Date.parse(ts)));
    const later = Math.ceil((Date.now() - last) / day) * day;
    const moved = events
      .map(([ts, direction, dpu]) => [new Date(Date.parse(ts) + later).toISOString(), direction, dpu])
      .filter(([ts]) => ts! < new Date().toISOString());
    const body = ['timestamp,direction,dpu_id', ...moved.map((row) => row.join(','))].join('\n');
    const response = await fetch(`${this.url}/events`, { method: 'POST', headers: { 'content-type': 'text/csv' }, body });
    if (!response.ok) throw new Error(await response.text());
  }
}

/** Starts a server, and returns when it has logged its address. */
async function run(env: NodeJS.ProcessEnv, listen: string): Promise<[string, ChildProcess]> {
  const child = spawn(headcount, { env: { ...env, LISTEN: listen }, stdio: ['ignore', 'inherit', 'pipe'] });
  for await (const line of createInterface(child.stderr!)) {
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(line) ?? [];
    if (url) {
      child.stderr!.resume();
      return [url, child];
    }
    console.error(line);
  }
  throw new Error('the server has ended');
}
