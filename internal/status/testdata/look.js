// Run in the page: what a reader would see there.
(() => {
  const colour = (text) => {
    const m = text.match(/[\d.]+/g).map(Number)
    return { rgb: m.slice(0, 3), alpha: m.length > 3 ? m[3] : 1 }
  }
  const luminance = ([r, g, b]) => {
    const part = (x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4)
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b)
  }
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)]
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05)
  }
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const c = colour(getComputedStyle(e).backgroundColor)
      if (c.alpha > 0) return c.rgb
    }
    return [255, 255, 255]
  }
  const faint = []
  let texts = 0
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement
    if (!node.data.trim() || e.closest('svg, .skip') || !e.checkVisibility({ contentVisibilityAuto: true })) continue
    texts++
    const ratio = contrast(colour(getComputedStyle(e).color).rgb, ground(e))
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${node.data.trim()}`)
  }
  const escaping = []
  for (const card of document.querySelectorAll('.card')) {
    const edge = card.getBoundingClientRect().right
    for (const e of card.querySelectorAll('*')) {
      if (e.closest('.scroll table, .copy *, svg *') || !e.checkVisibility()) continue
      if (e.getBoundingClientRect().right > edge + 0.5) escaping.push(e.outerHTML.slice(0, 120))
    }
  }
  return {
    Width: document.scrollingElement.scrollWidth,
    Background: getComputedStyle(document.body).backgroundColor,
    Texts: texts,
    Faint: faint,
    Escaping: escaping,
    Svgs: document.querySelectorAll('svg[role=img]').length,
    Rows: [...document.querySelectorAll('tr[data-id]')].map((row) => {
      const code = row.querySelector('.copy')
      return { HTML: row.outerHTML, Command: code.textContent, Shown: code.getBoundingClientRect().height > 0 && code.checkVisibility({ contentVisibilityAuto: true }) }
    }),
  }
})()
