import time, datetime
from sqlalchemy import event
from storage import due, outbox, roles
NOW = datetime.datetime(2026, 11, 22, 9, 2, tzinfo=datetime.UTC)
def test_scale(database):
    with database.begin() as c:
        x=c.exec_driver_sql
        x("""insert into debitum.users(id,email,email_verified_at,password_hash,time_zone,locale,default_currency,reminder_settings,created_at) select gen_random_uuid(), 'u'||g||'@x', now(), '-', 'UTC','en','EUR','{"due_offsets_days":[-1,0,7],"local_time":"09:00","channels":["email","push"]}', now() from generate_series(1,20000) g""")
        x("insert into debitum.ledgers(id, owner_id, data_key, created_at) select ledger_id, id, '\\x00'::bytea, now() from debitum.users")
        x("""insert into debitum.transactions(ledger_id,id,created_seq,created_at,changed_seq,updated_at,marks,contact_id,type,direction,amount,currency,transaction_date,due_date,due_changed_at)
          select l.id, gen_random_uuid(), g, now(), g, now(), '{}', md5(l.id::text||(g%%3))::uuid, 'money', case when g%%4=0 then 'owed' else 'lent' end, 100+g, 'EUR', date '2025-11-01', date '2025-11-22' + (random()*730)::int, timestamptz '2025-11-01' from debitum.ledgers l, generate_series(1,15) g""")
        x("""insert into debitum.outbox(ledger_id,id,dedupe_key,kind,channel,payload,state,next_at,created_at) select l.id, gen_random_uuid(), 'k'||g, 'due','email','{}','pending', timestamptz '2026-11-20', now() from debitum.ledgers l, generate_series(1,5) g""")
    with database.connect() as c: c.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("vacuum analyze")
    slow=[]
    @event.listens_for(database,"before_cursor_execute")
    def b(conn,cur,st,pa,ctx,m): ctx.t=time.time()
    @event.listens_for(database,"after_cursor_execute")
    def a(conn,cur,st,pa,ctx,m): slow.append((round(time.time()-ctx.t,3),st[:60].replace("\n"," ")))
    def run():
        t=time.time(); n=0; cand=0; pages=0
        for s in due.SOURCES:
            cur=None; first=True
            while first or cur:
                first=False
                with database.begin() as c:
                    roles.enter(c, roles.JOBS)
                    p=due.enqueue_page(c, s, now=NOW, cursor=cur)
                cur=p.following; n+=len(p.enqueued); cand+=p.candidates; pages+=1
        print("RUN", round(time.time()-t,2), n, cand, pages, sorted(slow)[-6:]); slow.clear()
    run(); run()
    with database.begin() as c:
        roles.enter(c, roles.JOBS)
        for i in range(4):
            t=time.time(); k=outbox.claim(c,"email",now=NOW); print("CLAIM",len(k), round(time.time()-t,3))
    with database.begin() as c:
        t=time.time(); print(outbox.is_ready(c,now=NOW), round(time.time()-t,3)); t=time.time(); print(outbox.backlog(c,now=NOW), round(time.time()-t,3))
    with database.begin() as c:
        pairs = c.exec_driver_sql("select ledger_id, id from debitum.transactions where due_date between '2026-11-20' and '2026-11-23' limit 450").all()
        wanted = {(a,b) for a,b in pairs}
        real=c.execute
        for i in range(3):
            t=time.time(); due._open_amounts(c, wanted); print("OPEN", round(time.time()-t,3))
        from sqlalchemy import text
        def ex(st,*a,**k):
            from sqlalchemy.dialects import postgresql
            sql=str(st.compile(c, compile_kwargs={"literal_binds":True}))
            for r in c.exec_driver_sql("explain (analyze, costs on) "+sql.replace("%","%%")): print(r[0][:190])
            return real(st)
        class C: execute=staticmethod(ex)
        due._open_amounts(C, wanted)
