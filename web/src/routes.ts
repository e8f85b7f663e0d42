import { createRouter } from 'sv-router';
import Dashboard from './pages/Dashboard.svelte';

export const { p, route } = createRouter({
  '/': Dashboard,
  '/spaces/:id': () => import('./pages/Space.svelte'),
  '/floor-plan': () => import('./pages/FloorPlan.svelte'),
  '*': () => import('./pages/NotFound.svelte'),
});
