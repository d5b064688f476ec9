"""What the trigger editor does in the browser."""

JS = """
const PRESETS = {
  Square: 'www/www/www', Cross: 'w.w/.w./w.w', Plus: '.w./www/.w.', Ring: '.ww./w..w/w..w/.ww.',
  Checks: 'w.w./.w.w/w.w./.w.w',
};

class Editor {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.sent = [];
    this.picture = new Image();
    this.picture.onload = () => this.paint();
    this.cells = [];
    this.colour = 'w';
    this.listen();
  }

  // What the server draws: a drawing that came from here is known already.
  update(data, send) {
    this.send = send;
    const same = this.data && this.data.width === data.width && this.data.height === data.height;
    this.data = data;
    this.n = data.grid;
    if (!this.cells.length) this.build();
    const arrived = JSON.stringify([data.pixels, data.left, data.top, data.opacity]);
    if (!this.sent.includes(arrived)) {
      this.sent = [arrived];
      this.load(data);
    }
    if (!data.offered.includes(this.colour)) this.colour = data.offered[0];
    this.palette();
    if (!same) {
      const canvas = this.find('canvas');
      canvas.width = data.width;
      canvas.height = data.height;
    }
    if (this.picture.src !== data.picture) this.picture.src = data.picture;
    this.paint();
  }

  build() {
    const grid = this.find('.grid');
    grid.setAttribute('aria-label', 'Pattern: arrow keys move, Space paints or erases');
    for (let place = 0; place < this.n * this.n; place++) {
      const cell = document.createElement('button');
      cell.type = 'button';
      cell.tabIndex = place ? -1 : 0;
      cell.onkeydown = (event) => this.key(event, place);
      grid.append(cell);
      this.cells.push('.');
    }
    const tools = this.find('.tools');
    const tool = (name, act) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = name;
      button.onclick = act;
      tools.append(button);
    };
    if (this.data.presets)
      for (const [name, pixels] of Object.entries(PRESETS))
        tool(name, () => { this.choose(pixels.replaceAll('w', this.colour)); });
    tool('Clear', () => { this.cells.fill('.'); this.done(); });
  }

  // A ready-made pattern takes the place of the one before.
  choose(pixels) {
    const before = this.box(), left = before ? this.x + before.left : 0, top = before ? this.y + before.top : 0;
    this.put(pixels);
    const box = this.box();
    this.x = left - box.left;
    this.y = top - box.top;
    this.done();
  }

  palette() {
    const box = this.find('.palette'), offered = this.data.offered;
    const signature = offered.map((letter) => letter + this.data.colours[letter][1]).join();
    if (box.dataset.drawn !== signature) {
      box.dataset.drawn = signature;
      box.replaceChildren(...offered.map((letter, place) => {
        const [name, hex] = this.data.colours[letter];
        const button = document.createElement('button');
        button.type = 'button';
        button.setAttribute('role', 'radio');
        button.setAttribute('aria-label', name);
        button.title = name;
        button.style.background = hex;
        button.dataset.letter = letter;
        button.onclick = () => { this.colour = letter; this.palette(); };
        button.onkeydown = (event) => {
          const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
          if (!step) return;
          event.preventDefault();
          this.colour = offered[(place + step + offered.length) % offered.length];
          this.palette();
          box.children[offered.indexOf(this.colour)].focus();
        };
        return button;
      }));
    }
    for (const button of box.children) {
      const chosen = button.dataset.letter === this.colour;
      button.setAttribute('aria-checked', String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
  }

  // The drawing that the server holds.
  load(data) {
    this.opacity = data.opacity;
    this.cells.fill('.');
    if (data.pixels) this.put(data.pixels);
    const box = this.box();
    this.x = data.left - (box ? box.left : 0);
    this.y = data.top - (box ? box.top : 0);
    this.inside();
  }

  // Put a pattern into the middle of the grid.
  put(pixels) {
    const rows = pixels.split('/');
    const down = Math.floor((this.n - rows.length) / 2), right = Math.floor((this.n - rows[0].length) / 2);
    this.cells.fill('.');
    rows.forEach((row, y) => [...row].forEach((letter, x) => {
      if (x + right < this.n && y + down < this.n) this.cells[(y + down) * this.n + x + right] = letter;
    }));
  }

  // The smallest rectangle around what is drawn; null if nothing is.
  box() {
    const xs = [], ys = [];
    this.cells.forEach((letter, place) => {
      if (letter !== '.') { xs.push(place % this.n); ys.push(Math.floor(place / this.n)); }
    });
    if (!xs.length) return null;
    const left = Math.min(...xs), top = Math.min(...ys);
    return { left, top, right: Math.max(...xs), bottom: Math.max(...ys) };
  }

  inside() {
    const box = this.box() ?? { left: 0, top: 0, right: this.n - 1, bottom: this.n - 1 };
    this.x = Math.min(Math.max(this.x, -box.left), this.data.width - 1 - box.right);
    this.y = Math.min(Math.max(this.y, -box.top), this.data.height - 1 - box.bottom);
  }

  listen() {
    const grid = this.find('.grid'), canvas = this.find('canvas'), range = this.find('input');
    const cell = (event) => {
      const area = grid.getBoundingClientRect();
      const x = Math.floor(((event.clientX - area.left) / area.width) * this.n);
      const y = Math.floor(((event.clientY - area.top) / area.height) * this.n);
      return x < 0 || y < 0 || x >= this.n || y >= this.n ? null : y * this.n + x;
    };
    grid.onpointerdown = (event) => {
      const place = cell(event);
      if (place === null) return;
      event.preventDefault();
      grid.setPointerCapture(event.pointerId);
      this.stroke = this.cells[place] === this.colour ? '.' : this.colour;
      this.set(place, this.stroke);
      this.focusCell(place);
    };
    grid.onpointermove = (event) => {
      const place = this.stroke === undefined ? null : cell(event);
      if (place !== null) this.set(place, this.stroke);
    };
    grid.onpointerup = grid.onpointercancel = () => {
      if (this.stroke === undefined) return;
      this.stroke = undefined;
      this.done();
    };
    const at = (event) => {
      const area = canvas.getBoundingClientRect();
      return [
        Math.floor(((event.clientX - area.left) / area.width) * this.data.width),
        Math.floor(((event.clientY - area.top) / area.height) * this.data.height),
      ];
    };
    // The pattern's middle comes to where one points.
    const move = (event) => {
      const box = this.box() ?? { left: 0, top: 0, right: 0, bottom: 0 }, [x, y] = at(event);
      this.x = x - Math.floor((box.left + box.right) / 2);
      this.y = y - Math.floor((box.top + box.bottom) / 2);
      this.inside();
      this.paint();
    };
    canvas.onpointerdown = (event) => {
      event.preventDefault();
      canvas.focus({ focusVisible: false });
      canvas.setPointerCapture(event.pointerId);
      this.moving = true;
      move(event);
    };
    canvas.onpointermove = (event) => { if (this.moving) move(event); };
    canvas.onpointerup = canvas.onpointercancel = () => {
      if (!this.moving) return;
      this.moving = false;
      this.done();
    };
    canvas.onkeydown = (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.x += step[0];
      this.y += step[1];
      this.inside();
      this.done();
    };
    range.oninput = () => { this.opacity = Number(range.value); this.paint(); };
    range.onchange = () => this.done();
  }

  set(place, letter) {
    if (this.cells[place] === letter) return;
    this.cells[place] = letter;
    this.inside();
    this.paint();
  }

  focusCell(place) {
    [...this.find('.grid').children].forEach((cell, each) => { cell.tabIndex = each === place ? 0 : -1; });
    this.find('.grid').children[place].focus({ focusVisible: false });
  }

  key(event, place) {
    const n = this.n, x = place % n, y = Math.floor(place / n);
    const to = {
      ArrowLeft: x > 0 ? place - 1 : place, ArrowRight: x < n - 1 ? place + 1 : place,
      ArrowUp: y > 0 ? place - n : place, ArrowDown: y < n - 1 ? place + n : place,
    }[event.key];
    if (to === undefined && event.key !== ' ' && event.key !== 'Enter') return;
    event.preventDefault();
    event.stopPropagation();
    if (to !== undefined) {
      const cells = this.find('.grid').children;
      cells[place].tabIndex = -1;
      cells[to].tabIndex = 0;
      cells[to].focus();
    } else {
      this.set(place, this.cells[place] === this.colour ? '.' : this.colour);
      this.done();
    }
  }

  done() {
    this.inside();
    this.paint();
    const box = this.box(), rows = [];
    if (box)
      for (let y = box.top; y <= box.bottom; y++)
        rows.push(this.cells.slice(y * this.n + box.left, y * this.n + box.right + 1).join(''));
    const drawing = {
      pixels: rows.join('/'), left: this.x + (box ? box.left : 0), top: this.y + (box ? box.top : 0),
      opacity: this.opacity,
    };
    drawing.left = Math.max(drawing.left, 0);
    drawing.top = Math.max(drawing.top, 0);
    const arrived = JSON.stringify([drawing.pixels, drawing.left, drawing.top, drawing.opacity]);
    this.sent = [...this.sent.filter((known) => known !== arrived), arrived].slice(-50);
    this.send('drawn', drawing);
  }

  paint() {
    if (!this.data) return;
    const name = (letter) => (letter === '.' ? 'not drawn' : this.data.colours[letter][0]);
    [...this.find('.grid').children].forEach((cell, place) => {
      const letter = this.cells[place];
      cell.className = letter === '.' ? 'empty' : '';
      cell.style.background = letter === '.' ? '' : this.data.colours[letter][1];
      const row = Math.floor(place / this.n) + 1, column = (place % this.n) + 1;
      cell.setAttribute('aria-label', `row ${row}, column ${column}: ${name(letter)}`);
    });
    const canvas = this.find('canvas'), pen = canvas.getContext('2d');
    pen.globalAlpha = 1;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (this.picture.complete && this.picture.naturalWidth) pen.drawImage(this.picture, 0, 0);
    pen.globalAlpha = this.opacity / 100;
    this.cells.forEach((letter, place) => {
      if (letter === '.') return;
      pen.fillStyle = this.data.colours[letter][1];
      pen.fillRect(this.x + (place % this.n), this.y + Math.floor(place / this.n), 1, 1);
    });
    const box = this.box();
    const where = box
      ? `row ${this.y + box.top + 1}, column ${this.x + box.left + 1}`
      : 'nothing drawn';
    canvas.setAttribute('aria-label', `Place of the trigger: ${where}. Arrow keys move it.`);
    this.find('.where').textContent = box ? `From ${where}` : 'Nothing is drawn yet.';
    this.find('input').value = this.opacity;
    this.find('output').textContent = `${this.opacity} %`;
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector('.editor');
  root.editor ??= new Editor(root);
  root.editor.update(data, setTriggerValue);
}
"""
