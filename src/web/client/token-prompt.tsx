import { useState } from 'preact/hooks';
import { tokenIn } from './token.ts';

interface TokenPromptProps {
  /** A token was entered and refused. */
  readonly wrong: boolean;
  readonly enter: (token: string) => void;
}

/** Asks for the token. */
export function TokenPrompt({ wrong, enter }: TokenPromptProps) {
  const [token, setToken] = useState('');
  return (
    <main class="token-prompt">
      <form
        onSubmit={event => {
          event.preventDefault();
          enter(tokenIn(token));
        }}
      >
        <h1>
          <img src="icon.svg" alt="" width="28" height="28" />
          Ripstop
        </h1>
        <p id="how">
          On the node, <code>ripstop ui</code> prints a link with the token. Paste either.
        </p>
        <label>
          Link or token
          <input
            type="password"
            autocomplete="off"
            required
            aria-describedby="how wrong"
            aria-invalid={wrong}
            value={token}
            onInput={event => setToken(event.currentTarget.value)}
          />
        </label>
        <p class="trouble" id="wrong" role="alert">
          {wrong ? 'Wrong token. The agent makes a new one at each start.' : ''}
        </p>
        <button type="submit" class="main">
          Open
        </button>
      </form>
    </main>
  );
}
