import { Lab } from '@/components/Lab';
import { browserConfig } from '@/lib/config';

export default function LabPage() {
  return (
    <>
      <h1>Lab</h1>
      <p>Each button does one thing worth looking at. What it started is one trace, from this page to the last service.</p>
      <Lab config={browserConfig()} />
    </>
  );
}
