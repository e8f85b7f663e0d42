import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { precompress } from './precompress';

const server = process.env.HEADCOUNT_URL ?? 'http://127.0.0.1:8000';

export default defineConfig({
  plugins: [svelte({ configFile: false }), precompress()],
  build: {
    // The Content-Security-Policy forbids `data:`.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 5000,
    rolldownOptions: {
      input: ['index.html', 'graphiql.html'],
      // GraphiQL's packages are full of directives that mean nothing here.
      checks: { moduleLevelDirective: false },
    },
  },
  // `?worker` imports are Vite's own, and not to be bundled beforehand.
  optimizeDeps: { exclude: ['graphiql/setup-workers/vite', '@graphiql/react/setup-workers/vite'] },
  server: {
    proxy: {
      '/graphql': { target: server, ws: true },
      '^/(space|events|healthz|openapi.json)\\b': server,
    },
  },
});
