'use client';
import Link from 'next/link';
import { useEffect, useState } from 'react';

/** Filled by a script of its own (app/scripts/recommendations.js), which is loaded anew with each product. */
export function AlsoBought({ id }: { id: string }) {
  const [found, setFound] = useState<string[]>([]);
  useEffect(() => {
    const show = (event: Event) => setFound((event as CustomEvent<string[]>).detail);
    window.addEventListener('also-bought', show);
    const script = document.createElement('script');
    script.src = '/scripts/recommendations.js';
    document.body.append(script);
    return () => {
      window.removeEventListener('also-bought', show);
      script.remove();
    };
  }, [id]);
  return (
    <section className="also">
      <h2>Others also bought</h2>
      {found.map((other) => (
        <Link key={other} href={`/products/${other}`} prefetch={false}>
          {other}
        </Link>
      ))}
    </section>
  );
}
