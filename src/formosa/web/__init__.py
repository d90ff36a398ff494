"""Pages: a few server-rendered HTML pages over what the other rooms know, without a build step.

`page` makes the HTML (one shell, its policy, two languages), `site` says where a page stands,
`places` which files may be looked at, `app` puts the pages behind addresses. Every other module is
one page: pure functions from files to values, its routes, and `export`, the same page as one file.
"""
