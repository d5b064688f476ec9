"""The elements of the trigger editor, and their look."""

HTML = """
<div class="editor">
  <section class="pattern">
    <div class="name" id="pattern-name">Pattern</div>
    <div class="grid" role="group"></div>
    <div class="palette" role="radiogroup" aria-label="Colour"></div>
    <div class="tools"></div>
  </section>
  <section class="place">
    <div class="name">Place</div>
    <canvas tabindex="0" role="application"></canvas>
    <label class="opacity"><span>Opacity</span><input type="range" min="1" max="100"><output></output></label>
    <div class="where" role="status"></div>
  </section>
</div>
"""

CSS = """
.editor{display:flex;flex-wrap:wrap;gap:.4rem 1rem;color:var(--st-text-color);font-family:var(--st-font);
 font-size:.88rem;user-select:none;-webkit-user-select:none}
section{flex:0 0 auto;width:190px}
.name{font-weight:600;margin-bottom:.25rem}
.grid{display:grid;grid-template-columns:repeat(8,1fr);width:190px;height:190px;touch-action:none;cursor:crosshair;
 border:1px solid color-mix(in srgb,currentColor 45%,transparent);box-sizing:border-box}
.grid button{all:unset;box-sizing:border-box;border:1px solid color-mix(in srgb,currentColor 16%,transparent);
 pointer-events:none}
.grid button.empty{background:
 repeating-conic-gradient(color-mix(in srgb,currentColor 9%,transparent) 0 25%,transparent 0 50%) 0 0/10px 10px}
.grid button:focus-visible{outline:3px solid var(--st-primary-color);outline-offset:-3px}
canvas{display:block;width:190px;height:190px;image-rendering:pixelated;touch-action:none;cursor:move;
 outline:1px solid color-mix(in srgb,currentColor 45%,transparent);outline-offset:-1px}
canvas:focus-visible{outline:3px solid var(--st-primary-color);outline-offset:1px}
.palette,.tools{display:flex;flex-wrap:wrap;gap:4px;margin-top:.4rem}
.palette button{all:unset;box-sizing:border-box;width:24px;height:24px;border-radius:4px;cursor:pointer;
 border:1px solid color-mix(in srgb,currentColor 60%,transparent)}
.palette button[aria-checked=true]{box-shadow:0 0 0 2px var(--st-background-color),0 0 0 4px currentColor}
.palette button:focus-visible,.tools button:focus-visible,input:focus-visible{outline:3px solid var(--st-primary-color);
 outline-offset:2px}
.tools button{all:unset;box-sizing:border-box;cursor:pointer;padding:.1rem .45rem;border-radius:4px;
 border:1px solid color-mix(in srgb,currentColor 35%,transparent)}
.tools button:hover{border-color:currentColor}
.opacity{display:grid;grid-template-columns:auto 1fr 3rem;gap:.4rem;align-items:center;margin-top:.5rem}
.opacity input{width:100%;min-width:0;accent-color:var(--st-primary-color)}
.opacity output{text-align:right;font-variant-numeric:tabular-nums}
.where{margin-top:.3rem;font-variant-numeric:tabular-nums}
"""
