"""What the evaluation pages say: English → zh-TW, as an engineer in Taiwan would write."""

from __future__ import annotations

WORDS = {
    # Outcomes and states
    "correct": "正確",
    "wrong": "錯誤",
    "not readable": "無法讀取",
    "cut off": "被截斷",
    "no reply": "沒有回覆",
    "not correct": "未答對",
    "finished": "已完成",
    "running": "執行中",
    "interrupted": "已中斷",
    # Heads
    "All evaluations": "所有評測",
    "Answers": "作答",
    "Subjects": "科目",
    "Question": "題目",
    "Reply": "回覆",
    "Verdict": "判定",
    "All repeats": "所有重複",
    "Accepted calls": "可接受的呼叫",
    # Tables
    "scorer": "評分器",
    "outcome": "結果",
    "subject": "科目",
    "question": "題目",
    "questions": "題數",
    "answer": "答案",
    "answers": "作答",
    "right answer": "正確答案",
    "why": "理由",
    "bar": "長條",
    "outcomes as a bar": "以長條表示的結果",
    "model": "模型",
    "task": "任務",
    "state": "狀態",
    "order": "排序",
    "Order:": "排序：",
    "all": "全部",
    "none": "（無）",
    "%": "%",
    "% correct, 95 % interval": "正確率 %，95 % 信賴區間",
    "{value} %, 95 % interval {low} to {high}": "{value} %，95 % 信賴區間 {low} 到 {high}",
    "Scores: the share of correct answers of all that were asked, and how all of them ended": (
        "分數：所有問過的題目中答對的比例，以及每一題的結果"
    ),
    "The same without {n} questions that nobody can get right": (
        "同樣的數字，但不計 {n} 題沒有人能答對的題目"
    ),
    "{scorer}: % correct by subject, with 95 % intervals": (
        "{scorer}：各科目正確率 %，附 95 % 信賴區間"
    ),
    "by name": "依名稱",
    "worst first": "最差在前",
    "best first": "最好在前",
    "most questions first": "題數最多在前",
    "as in the log": "依紀錄順序",
    "slowest first": "最慢在前",
    "longest reply first": "回覆最長在前",
    "by file": "依檔案",
    "by task": "依任務",
    "by model": "依模型",
    "best score first": "分數最高在前",
    "newest first": "最新在前",
    # The table of logs
    "Only those in {folder}.": "只列出 {folder} 裡的評測。",
    "There are more files than are looked at; name a folder further down.": (
        "檔案太多，沒有全部查看；請指定更下層的資料夾。"
    ),
    "No logs of evaluations were found here.": "這裡找不到評測紀錄。",
    "Make one: {command}": "先產生一份：{command}",
    "{n} logs. A score is the share of correct answers of all that were asked, with its 95 % "
    "interval.": "{n} 份紀錄。分數是所有問過的題目中答對的比例，附 95 % 信賴區間。",
    "compare": "比較",
    "Compare the chosen logs": "比較勾選的紀錄",
    "Tick two or more logs of one task.": "請勾選同一任務的兩份以上紀錄。",
    # A log
    "{n} of {planned} answers": "已作答 {n} / {planned} 筆",
    "The run was stopped; the same command continues it.": (
        "這次評測已中斷；執行同一個指令就會接著跑。"
    ),
    "No answers yet.": "還沒有任何作答。",
    "The log's last record says another score for {scorer} than its answers give.": (
        "紀錄最後一筆所寫的 {scorer} 分數，與由作答算出的不同。"
    ),
    "{scorer}: {share} % of the replies could not be read. Such a score says more about the "
    "reading, or the prompt, than about the model.": (
        "{scorer}：有 {share} % 的回覆無法讀取。這種分數反映的多半是讀取方式或提示詞，而不是模型。"
    ),
    "replies": "回覆數",
    "tokens of the prompts": "提示詞 token 數",
    "tokens of the replies": "回覆 token 數",
    "median seconds for a reply": "回覆時間中位數（秒）",
    "Simplified characters": "簡體字",
    "mainland words": "大陸用語",
    "Han characters in the replies": "回覆中的漢字數",
    "How this log was made": "這份紀錄如何產生",
    "As one file to send: {command}": "存成一個可以寄送的檔案：{command}",
    "work it out": "計算",
    "version": "版本",
    "data": "資料",
    "replies read by": "讀取回覆的方式",
    "file": "檔案",
    "sha256 of the model": "模型的 sha256",
    "chat template": "對話範本",
    "engine": "引擎",
    "model details": "模型細節",
    "sampling": "取樣",
    "plan": "計畫",
    "{samples} of {original} questions × {repeats}, seed {seed}": (
        "{original} 題中的 {samples} 題 × {repeats} 次，種子 {seed}"
    ),
    "part": "分片",
    "begun": "開始",
    "ended": "結束",
    "made by": "產生者",
    "sha256 of the log": "紀錄的 sha256",
    # The list
    "text in question, reply or id": "題目、回覆或編號中的文字",
    "Show": "顯示",
    "Show all": "全部顯示",
    "{n} of {total} answers": "{total} 筆作答中的 {n} 筆",
    "j and k move, Enter opens": "按 j、k 移動，按 Enter 開啟",
    "There are new answers: show them": "有新的作答：顯示",
    "Pages of answers": "作答的分頁",
    "previous": "上一頁",
    "next": "下一頁",
    "page {n} of {pages}": "第 {n} 頁，共 {pages} 頁",
    # An answer
    "Back to the list": "回到清單",
    "previous answer": "上一題",
    "next answer": "下一題",
    "{n} of {total}": "第 {n} 筆，共 {total} 筆",
    "k and j: previous and next": "按 k、j：上一題、下一題",
    "in the scorer's own words": "評分器的原文",
    "read from the reply": "從回覆讀出",
    "nothing": "沒有",
    "for each parameter, all values that are accepted": "每個參數列出所有可接受的值",
    "system message": "系統訊息",
    "user": "使用者",
    "assistant": "助理",
    "tool": "工具",
    "{n} tools": "{n} 個工具",
    "parameter": "參數",
    "type": "型別",
    "what it is": "說明",
    "required": "必要",
    "no parameters": "沒有參數",
    "JSON schema": "JSON schema",
    "reasoning": "推理",
    "an empty reply": "空的回覆",
    "could not be read as a call:": "無法讀成工具呼叫：",
    "raw text, as the model wrote it": "模型所寫的原始文字",
    "seconds": "秒數",
    "tokens of the prompt": "提示詞 token 數",
    "tokens of the reply": "回覆 token 數",
    "ended by": "結束原因",
    "{n} characters in between": "中間的 {n} 個字元",
    "{n} more characters are not on this page; the log has them.": (
        "還有 {n} 個字元不在本頁；紀錄中有全文。"
    ),
    "The same question, asked {n} times": "同一題問了 {n} 次",
    "The same question, asked {n} times, each time with its options in another order": (
        "同一題問了 {n} 次，每次選項的順序都不同"
    ),
    "chosen": "所選",
    "This task is private: its authors ask that no question appear in plain text, so the log holds "
    "neither the question nor the reply, and nothing of them is shown here.": (
        "這是私密的任務：作者要求題目不得以明文出現，因此紀錄中沒有題目，也沒有回覆，這裡也不顯示。"
    ),
    "This task is private, so of the reply only this is in the log:": (
        "這是私密的任務，因此紀錄中關於回覆只有以下內容："
    ),
    "The log does not hold the question, and its data set is not on this machine. Nothing is "
    "fetched while you look at a log; this fetches it: {command}": (
        "紀錄中沒有題目，而且這台機器上沒有這份資料集。查看紀錄時不會下載任何內容；"
        "下載的方式：{command}"
    ),
    "The questions are still being read; look again in a moment.": "題目還在讀取中，請稍後再看。",
    "The log does not hold the question, and the data set or the task here asks in other words "
    "than this log's, so nothing is shown.": (
        "紀錄中沒有題目，而這裡的資料集或任務與紀錄所用的問法不同，因此不顯示。"
    ),
    "Put together again from the same data; the log is of another version of Formosa, so the words "
    "around the question may have been others.": (
        "題目由同一份資料重新組成；紀錄來自另一版的 Formosa，題目前後的提示文字可能不同。"
    ),
    # As one file
    "All {n} answers are in this file.": "本檔案包含全部 {n} 筆作答。",
    "{n} of {total} answers are in this file, those that are not correct first; {left} are left "
    "out. The log has them all.": (
        "本檔案包含 {total} 筆作答中的 {n} 筆，未答對的優先；其餘 {left} 筆未收入，紀錄中都有。"
    ),
    "Without JavaScript all answers are listed below; filter and search need it.": (
        "沒有 JavaScript 時，下方會列出所有作答；篩選與搜尋需要它。"
    ),
}
