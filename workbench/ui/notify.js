// Gradio runs this once, as the body of a function (element, trigger, props, server, upload, watch). The value is JSON:
// {"news": [{"title", "body"}]}. A notification shows text and never HTML.

watch('value', () => {
  if (!document.hidden || localStorage.getItem('wb-notify') !== 'on') return;
  if (!('Notification' in window) || Notification.permission !== 'granted') return;
  for (const one of JSON.parse(props.value || '{}').news || []) {
    // Several tabs of the window say the same once: of one tag there is one notification.
    const shown = new Notification(one.title, { body: one.body, tag: `wb ${one.title}` });
    shown.onclick = () => { window.focus(); shown.close(); };
  }
});
