// GraphiQL, from its package alone: nothing is loaded from other hosts.

import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import { createRoot } from 'react-dom/client';
import counts from './examples/counts.graphql?raw';
import history from './examples/history.graphql?raw';
import live from './examples/live.graphql?raw';
import move from './examples/move.graphql?raw';
import { session } from './lib/session.svelte';
import { connect } from './lib/socket';
import './graphiql.css';

const fetcher = createGraphiQLFetcher({ url: '/graphql', headers: session.credentials, wsClient: connect() });
const tabs = [counts, history, live, move].map((query) => ({ query }));

const place = document.createElement('main');
document.body.append(place);
createRoot(place).render(<GraphiQL fetcher={fetcher} defaultTabs={tabs} defaultEditorToolsVisibility={false} />);
