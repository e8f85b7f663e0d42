import { defineConfig } from '@playwright/test';

// The distribution's Chromium; each test starts the servers that it needs.
export default defineConfig({
  testDir: 'tests',
  testMatch: process.env.SCREENSHOTS ? 'screenshots.ts' : '*.test.ts',
  timeout: 60_000,
  workers: 1,
  reporter: 'list',
  use: {
    launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] },
    locale: 'en-US',
    timezoneId: 'Europe/Zurich',
  },
});
