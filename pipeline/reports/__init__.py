"""A period told to people who do not ask: the month for the regulator, and a page with charts.

Before: ../audit.py, ../reader.py. After: `liuhen audit pack`, `liuhen audit report`.

    period.py     a month or days → first and last Beijing day
    contents.py   which audits go in, in which order, with which parameters
    gather.py     the letter's facts and every audit's answer, read from one version of the archive
    letter.py     what a coverage letter says: archived, gaps, withheld, pending, failed, not inspected
    charts.py     counts → inline SVG
    page.py       all of it as one page
    book.py       all of it as one workbook
"""
