'use client';
import type { BrowserConfig } from '@/lib/config';
import { startRum } from './start';

// When the script of the layout is loaded, before React wakes the page up: what happens until then counts too.
if (typeof window !== 'undefined') {
  const config = document.querySelector<HTMLMetaElement>('meta[name="shop-config"]');
  if (config) void startRum(JSON.parse(config.content) as BrowserConfig);
}

/** Renders nothing; the layout has it so that the script above is part of every page. */
export function Rum() {
  return null;
}
