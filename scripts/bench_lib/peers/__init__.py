"""The services that this one is measured against; each module is a WSGI application that gunicorn serves as `app`.

They run in a virtual environment of their own and read MongoDB's address from `BENCH_MONGO_URI`.
"""
