'use client';
import type { BrowserConfig } from '@/lib/config';
import { startRum } from './start';

let started = false;

/** Renders nothing. It stands first in the layout, so that everything is watched before another component wakes up. */
export function Rum({ config }: { config: BrowserConfig }) {
  if (typeof window !== 'undefined' && !started) {
    started = true;
    void startRum(config);
  }
  return null;
}
