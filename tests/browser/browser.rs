//! A headless browser, driven over its DevTools protocol.

use std::cell::RefCell;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program that runs pages.
pub(crate) fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("REMAT_BROWSER").filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| folders.iter().map(|f| f.join(name)).find(|program| program.is_file()))
}

/// A running browser; ends when dropped.
pub(crate) struct Browser {
    process: Child,
    profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser that talks to nobody else.
    pub(crate) fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().expect("a folder for the browser");
        let process = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--hide-scrollbars",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        Self { process, profile }
    }

    /// Where it listens: port and path. It writes them down when it is ready.
    fn address(&self) -> (u16, String) {
        let file = self.profile.path().join("DevToolsActivePort");
        let started = Instant::now();
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n')
                && let Ok(port) = port.parse()
                && !path.is_empty()
            {
                return (port, path.trim().to_owned());
            }
            assert!(started.elapsed() < PATIENCE, "the browser does not answer");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A new tab of so many pixels, with nothing in it.
    pub(crate) fn tab(&self, width: u32, height: u32) -> Tab {
        let (port, path) = self.address();
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the browser listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).expect("a connection");
        let tab = Tab { wire: RefCell::new(Wire { socket, last: 0, events: Vec::new() }), session: String::new() };
        let target = tab.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attached = tab.call("Target.attachToTarget", &json!({"targetId": target["targetId"], "flatten": true}));
        let tab = Tab { session: attached["sessionId"].as_str().expect("a session").to_owned(), ..tab };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            tab.call(&format!("{domain}.enable"), &json!({}));
        }
        tab.resize(width, height);
        tab
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A tab of the browser with a connection of its own.
pub(crate) struct Tab {
    wire: RefCell<Wire>,
    session: String,
}

struct Wire {
    socket: WebSocket<TcpStream>,
    last: u64,
    /// Everything the browser reported, in order.
    events: Vec<Value>,
}

impl Tab {
    /// Calls a method of the protocol and waits for its result.
    pub(crate) fn call(&self, method: &str, parameters: &Value) -> Value {
        let wire = &mut *self.wire.borrow_mut();
        wire.last += 1;
        let mut request = json!({"id": wire.last, "method": method, "params": parameters});
        if !self.session.is_empty() {
            request["sessionId"] = self.session.clone().into();
        }
        wire.socket.send(Message::text(request.to_string())).expect("the browser listens");
        loop {
            let answer = wire.receive();
            if answer["id"] == wire.last {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            wire.events.push(answer);
        }
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) fn open(&self, path: &Path) {
        let seen = self.wire.borrow().events.len();
        self.call("Page.navigate", &json!({"url": format!("file://{}", path.display())}));
        let wire = &mut *self.wire.borrow_mut();
        let mut at = seen;
        while !wire.events[at..].iter().any(|e| e["method"] == "Page.loadEventFired") {
            at = wire.events.len();
            let event = wire.receive();
            wire.events.push(event);
        }
    }

    /// The value of a JavaScript expression.
    pub(crate) fn eval(&self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// The value of an expression that is text.
    pub(crate) fn text(&self, expression: &str) -> String {
        self.eval(expression).as_str().expect("text").to_owned()
    }

    /// The value of an expression that is a number.
    pub(crate) fn number(&self, expression: &str) -> f64 {
        self.eval(expression).as_f64().expect("a number")
    }

    /// Parameters of all events of a kind so far.
    pub(crate) fn events(&self, method: &str) -> Vec<Value> {
        let wire = self.wire.borrow();
        wire.events.iter().filter(|e| e["method"] == method).map(|e| e["params"].clone()).collect()
    }

    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Shows the page as on `screen` or in `print`, to somebody who likes a `light` or `dark` one.
    pub(crate) fn media(&self, media: &str, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"media": media, "features": features}));
    }

    /// Moves the pointer.
    pub(crate) fn point(&self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", &json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// Presses a key.
    pub(crate) fn press(&self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", &json!({"type": kind, "key": key}));
        }
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&self, expression: &str) {
        let started = Instant::now();
        while self.eval(expression) != Value::Bool(true) {
            assert!(started.elapsed() < PATIENCE, "never true: {expression}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Wire {
    fn receive(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().expect("the browser answers") {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }
}
