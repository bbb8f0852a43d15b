/** The text, or its beginning with the number of all characters where it has more than `max`. */
export function shorten(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max)}… (${text.length} characters)`;
}
