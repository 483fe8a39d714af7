export const CURRENCIES = ['EUR', 'USD', 'GBP', 'JPY'];

/** An amount in minor units (cents; JPY has none) as a person reads it. */
export function money(amount: number, currency = 'EUR'): string {
  const format = new Intl.NumberFormat('en-GB', { style: 'currency', currency });
  return format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}
