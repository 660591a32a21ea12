// Browsers run no worker that a page opened as a file asks for. There the search runs in a hidden frame, whose window
// has what the search's script needs of a worker: messages in both directions.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #window

    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = "<!doctype html>"
      this.#window = new Promise((resolve, reject) => {
        frame.addEventListener("load", () => {
          const inside = frame.contentWindow
          inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
          const script = inside.document.createElement("script")
          script.src = url
          script.addEventListener("load", () => resolve(inside))
          script.addEventListener("error", reject)
          inside.document.body.append(script)
        }, { once: true })
      })
      document.documentElement.append(frame)
    }

    postMessage(data) {
      this.#window.then(inside => inside.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
}
