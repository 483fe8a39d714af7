'use client';
/** The cart: product id -> quantity, in the browser's local storage, the same for every component that shows it. */
import { useSyncExternalStore } from 'react';

export type Cart = Readonly<Record<string, number>>;

const KEY = 'cart';
const EMPTY: Cart = {};
const listeners = new Set<() => void>();
let cached: { text: string; cart: Cart } | undefined;

export function useCart(): Cart {
  return useSyncExternalStore(subscribe, read, () => EMPTY);
}

export function count(cart: Cart): number {
  return Object.values(cart).reduce((sum, quantity) => sum + quantity, 0);
}

export function put(id: string, quantity: number) {
  const { [id]: _, ...others } = read();
  write(quantity > 0 ? { ...others, [id]: quantity } : others);
}

export function clear() {
  write(EMPTY);
}

function read(): Cart {
  const text = localStorage.getItem(KEY) ?? '{}';
  if (cached?.text !== text) cached = { text, cart: JSON.parse(text) as Cart };
  return cached.cart;
}

function write(cart: Cart) {
  localStorage.setItem(KEY, JSON.stringify(cart));
  listeners.forEach((changed) => changed());
}

function subscribe(changed: () => void) {
  listeners.add(changed);
  window.addEventListener('storage', changed);
  return () => {
    listeners.delete(changed);
    window.removeEventListener('storage', changed);
  };
}
