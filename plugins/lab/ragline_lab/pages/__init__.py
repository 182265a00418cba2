"""What our pages of figures share. A page is one HTML file that needs nothing else.

escaping.py   text of files and folders, made safe to stand in a page
style.py      the sheet, on light and on dark paper
svg.py        pictures as SVG text: the frame, lines of text, text that fits; what colours stand for
document.py   the document around a page's body
"""
