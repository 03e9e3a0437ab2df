/** Keys that work anywhere on the page but where one types. */

/** Keys of the page and what they do; arrows, Home and End are left to sliders, the space bar to buttons. */
export function listenToKeys(actions: Readonly<Record<string, () => void>>): void {
  addEventListener('keydown', (event) => {
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    const typing = target.matches('input:not([type=radio], [type=range]), select, textarea') || target.closest('dialog') !== null;
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === ' ' && target.matches('button, summary, [type=radio]')) return;
    if (event.key.startsWith('Arrow') && target instanceof HTMLInputElement) return;
    if ((event.key === 'Home' || event.key === 'End') && target.matches('[type=range]')) return;
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  });
}
