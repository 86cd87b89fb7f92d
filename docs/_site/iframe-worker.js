// Search works in a page that was opened from disk: browsers refuse workers there, so the worker's
// script runs in a hidden frame, which takes and sends the same messages.
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inner = (this.inner = frame.contentWindow);
      const send = (to, data) => to.dispatchEvent(new MessageEvent("message", { data }));
      inner.postMessage = (data) => send(this, data);
      this.ready = new Promise((loaded, failed) => {
        const script = inner.document.createElement("script");
        Object.assign(script, { src: url, onload: loaded, onerror: failed });
        inner.document.body.append(script);
      });
      this.postMessage = (data) => this.ready.then(() => send(inner, data));
    }
  };
