import type { ComponentChildren } from 'preact';

interface TableProps {
  /** Column titles; the columns from number `numbers` on are numeric. */
  readonly titles: readonly string[];
  readonly numbers: number;
  readonly children: ComponentChildren;
}

export function Table({ titles, numbers, children }: TableProps) {
  return (
    <table>
      <thead>
        <tr>
          {titles.map((title, at) => (
            <th key={title} scope="col" class={at < numbers ? '' : 'number'}>
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}

interface CellProps {
  /** Title of its column, which a narrow screen shows in front of the value. */
  readonly title: string;
  readonly kind: 'text' | 'number';
  readonly isBad?: boolean;
  readonly children: ComponentChildren;
}

export function Cell({ title, kind, isBad, children }: CellProps) {
  return (
    <td class={kind === 'number' ? 'number' : 'mono'} data-title={title} data-bad={isBad}>
      <span>{children}</span>
    </td>
  );
}
