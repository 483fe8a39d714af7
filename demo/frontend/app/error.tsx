'use client';
import { useEffect } from 'react';

/** Shown in place of a page that could not be rendered. React keeps such an error to itself; the window is told of it here. */
export default function ErrorPage({ error, reset }: { error: Error; reset: () => void }) {
  useEffect(() => reportError(error), [error]);
  return (
    <div className="notice">
      <h1>The shop has a leak</h1>
      <p>A service behind this page did not answer as it should.</p>
      <button onClick={reset}>Try again</button>
    </div>
  );
}
