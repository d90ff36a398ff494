"""What the buttons of static/picture.js say; for the words of every page that saves pictures."""

PICTURE_WORDS = {
    "Save as an SVG picture: {what}": "另存為 SVG 圖檔：{what}",
    "Save as a PNG picture: {what}": "另存為 PNG 圖檔：{what}",
    "Save as a CSV table: {what}": "另存為 CSV 表格：{what}",
}
