import { context, propagation } from '@opentelemetry/api';
import type { Metadata } from 'next';
import Link from 'next/link';
import type { ReactNode } from 'react';
import { CartLink } from '@/components/CartLink';
import { browserConfig } from '@/lib/config';
import { Rum } from '@/rum/Rum';
import './shop.css';

export const metadata: Metadata = { title: 'The Chandlery' };
export const dynamic = 'force-dynamic'; // each page is rendered for its request: the trace and the addresses are its own

export default function Layout({ children }: { children: ReactNode }) {
  const trace: { traceparent?: string } = {};
  propagation.inject(context.active(), trace);
  return (
    <html lang="en">
      <head>
        {/* The browser's page-load spans join the trace that rendered this page. */}
        <meta name="traceparent" content={trace.traceparent ?? ''} />
        <link rel="icon" href="data:," />
      </head>
      <body>
        <Rum config={browserConfig()} />
        <header>
          <Link href="/" prefetch={false} className="brand">
            The Chandlery
          </Link>
          <nav>
            <Link href="/" prefetch={false}>Products</Link>
            <Link href="/lab" prefetch={false}>Lab</Link>
            <CartLink />
          </nav>
        </header>
        <main>{children}</main>
        <footer>A demo shop. Everything you do here shows up as metrics, traces and logs in Tercet.</footer>
      </body>
    </html>
  );
}
