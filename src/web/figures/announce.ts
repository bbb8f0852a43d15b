/** Announces a text to screen readers; it replaces the one before. */
export function announce(text: string): void {
  const region = document.getElementById('said');
  if (region) region.textContent = text;
}
