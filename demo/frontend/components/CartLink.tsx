'use client';
import Link from 'next/link';
import { count, useCart } from '@/lib/cart';

export function CartLink() {
  const n = count(useCart());
  return (
    <Link href="/cart" prefetch={false}>
      Cart{n > 0 && <span className="count">{n}</span>}
    </Link>
  );
}
