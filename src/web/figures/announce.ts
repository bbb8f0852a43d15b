/** Tells those who listen instead of look; a new text takes the place of the former. */
export function announce(text: string): void {
  document.getElementById('said')!.textContent = text;
}
