"""What the pages of comparisons say: English → zh-TW."""

from formosa.web.picture_words import PICTURE_WORDS

OUTCOME_WORDS = {
    "correct": "正確",
    "wrong": "錯誤",
    "unparsed": "無法判讀",
    "truncated": "截斷",
    "failed": "失敗",
}

VERDICT_WORDS = {
    "inside the noise": "在雜訊之內",
    "better": "較好",
    "worse": "較差",
}

# Why logs can't be compared, and what a reader should know (`sides.py`).
REASON_WORDS = {
    "They are of different tasks: {a} and {b}.": "兩者的任務不同：{a} 與 {b}。",
    "The task's version is {a} in one and {b} in the other: what is asked, or how it is scored, "
    "changed in between.": "任務版本分別是 {a} 與 {b}：題目的問法或計分方式在這之間改過。",
    "The questions are from different revisions of the data: {a} and {b}.": (
        "題目來自不同版本的資料：{a} 與 {b}。"
    ),
    "One of the two logs holds no answers yet.": "其中一份紀錄還沒有任何回答。",
    "They have no scorer in common: {a} against {b}.": "兩者沒有共同的判讀方式：{a} 與 {b}。",
    "They hold no question in common.": "兩者沒有共同的題目。",
    "Asked with other settings ({settings}): the difference is of model and settings together.": (
        "提問時的設定不同（{settings}）：差異同時來自模型與設定。"
    ),
    "{n} answers are to another wording of the same question.": (
        "有 {n} 個回答，題目相同但送出的內容不同。"
    ),
    "Only the {n} questions that both hold are compared; {a} and {b} hold {more_a} and {more_b} "
    "more.": "只比較兩者都有的 {n} 題；{a} 與 {b} 另外各有 {more_a} 與 {more_b} 題。",
    "Both logs are of the same model file.": "兩份紀錄是同一個模型檔。",
    "Interrupted: {n} of {of} answers.": "中斷：{of} 個回答中只有 {n} 個。",
    "A part of the task: {n} of {of} questions.": "只問了一部分：{of} 題中的 {n} 題。",
    "{n} requests failed and count as not correct.": "有 {n} 個請求失敗，算作不正確。",
    "{scorer} could not read {share} % of the replies.": "{scorer} 無法判讀 {share} % 的回覆。",
}

COMPARE_WORDS = {
    **PICTURE_WORDS,
    **OUTCOME_WORDS,
    **VERDICT_WORDS,
    **REASON_WORDS,
    "Comparison": "比較",
    "Comparison: {task}": "比較：{task}",
    "The logs": "紀錄",
    "Model": "模型",
    "Log": "紀錄檔",
    "reference": "基準",
    "Reference": "基準",
    "Questions × repeats": "題數 × 次數",
    "Reply tokens": "回覆 token 數",
    "Tokens a reply": "每個回覆的 token 數",
    "Median seconds": "秒數中位數",
    "Simplified %": "簡體字 %",
    "Mainland words %": "中國大陸用語 %",
    "{other} can't be compared with {reference}.": "{other} 無法與 {reference} 比較。",
    "What is compared": "比較的對象",
    "In detail against": "細節對照",
    "Scorer of the details": "細節的判讀方式",
    "Questions nobody can get right": "無人能答對的題目",
    "count, as in published scores": "計入（與公開成績相同）",
    "left out ({n})": "不計（{n} 題）",
    "Show": "顯示",
    "Differences as CSV": "差異存成 CSV",
    "Scorer {name}": "判讀方式 {name}",
    "Scores by {scorer}": "{scorer} 的成績",
    "Differences by {scorer}": "{scorer} 的差異",
    "Correct, % of all questions, with the 95 % interval": (
        "正確率（占全部題目的 %）與 95 % 信賴區間"
    ),
    "% correct (95 %)": "正確率 %（95 %）",
    "Minus {reference}, paired by question": "減去 {reference}，逐題配對",
    "Points (95 %)": "百分點（95 %）",
    "Better": "較好題數",
    "Worse": "較差題數",
    "Questions": "題數",
    "Verdict": "判斷",
    "p-values are Holm's for {n} comparisons: the chance of calling any difference real where "
    "there is none stays below 5 %. Each interval is that of one difference alone.": (
        "p 值已依 {n} 個比較做 Holm 校正：在完全沒有差異時，誤判任何一個為真的機率低於 5 %。"
        "每個區間只針對單一差異。"
    ),
    "{other} is {points} points better than {reference} (95 %: {low} to {high}; p {p}): more than "
    "chance explains.": (
        "{other} 比 {reference} 高 {points} 個百分點（95 %：{low} 到 {high}；p {p}），"
        "超出機遇所能解釋。"
    ),
    "{other} is {points} points worse than {reference} (95 %: {low} to {high}; p {p}): more than "
    "chance explains.": (
        "{other} 比 {reference} 低 {points} 個百分點（95 %：{low} 到 {high}；p {p}），"
        "超出機遇所能解釋。"
    ),
    "{other} minus {reference} is {points} points (95 %: {low} to {high}; p {p}): inside the "
    "noise. These {n} questions can't tell the two apart.": (
        "{other} 減 {reference} 為 {points} 個百分點（95 %：{low} 到 {high}；p {p}），在雜訊之內："
        "這 {n} 題分不出兩者的高下。"
    ),
    "In detail: {other} against {reference}, by {scorer}": (
        "細節：{other} 對照 {reference}，判讀方式 {scorer}"
    ),
    "Difference by subject": "各科目的差異",
    "Difference by subject, points with the 95 % interval: right of zero, {other} is better": (
        "各科目的差異（百分點與 95 % 信賴區間）：零的右邊是 {other} 較好"
    ),
    "The {n} largest differences are drawn; the table has all.": (
        "圖中是最大的 {n} 個差異，表格有全部。"
    ),
    "Scatter by subject": "各科目散布圖",
    "Correct by subject, %: above the line, {other} is better. Larger circles are more "
    "questions.": "各科目正確率（%）：線的上方是 {other} 較好；圓愈大，題目愈多。",
    "Scatter by question": "各題散布圖",
    "Share of correct repeats by question, %: larger circles are more questions.": (
        "每一題重複作答時的正確比例（%）：圓愈大，題目愈多。"
    ),
    "{what}: {a} % and {b} %, {n} questions": "{what}：{a} % 與 {b} %，{n} 題",
    "{n} questions: {a} % and {b} %": "{n} 題：{a} % 與 {b} %",
    "Each model's share of correct answers with its interval.": "每個模型的正確率與其區間。",
    "Differences by subject as a table ({n})": "各科目差異的表格（{n}）",
    "By subject: {other} minus {reference}. p-values are Holm's for {n} subjects.": (
        "各科目：{other} 減 {reference}。p 值已依 {n} 個科目做 Holm 校正。"
    ),
    "Subject": "科目",
    "What changed from {reference} to {other}, by {scorer}": (
        "從 {reference} 到 {other} 有什麼改變，判讀方式 {scorer}"
    ),
    "What became of each answer": "每個回答的變化",
    "What became of each answer: rows are {reference}, columns {other}": (
        "每個回答的變化：列是 {reference}，欄是 {other}"
    ),
    "{n} answers: {was}, then {now}": "{n} 個回答：{was}變成{now}",
    "Filter the changed answers": "篩選有改變的回答",
    "any outcome": "任何結果",
    "not correct": "不正確",
    "all subjects": "所有科目",
    "Filter": "篩選",
    "Changed answers as CSV": "改變的回答存成 CSV",
    "{n} of {all} changed answers": "{all} 個改變的回答中的 {n} 個",
    "shown: {first} to {last}": "顯示第 {first} 到 {last} 個",
    "Right:": "正解：",
    "Reply of {model}": "{model} 的回覆",
    "the question and the whole reply": "題目與完整回覆",
    "{n} more characters": "還有 {n} 個字元",
    "No answer changed in this way.": "沒有回答是這樣改變的。",
    "{n} more are not in this file.": "還有 {n} 個不在這個檔案裡。",
    "Pages of changed answers": "改變的回答的分頁",
    "Earlier": "上一頁",
    "Later": "下一頁",
    "Comparison of runs": "比較整次執行",
    "Models that are compared": "比較的模型",
    "Folder": "資料夾",
    "Tasks": "任務數",
    "Task": "任務",
    "Scorer": "判讀方式",
    "Difference by task": "各任務的差異",
    "Difference to {reference} by task, points with the 95 % interval": (
        "各任務與 {reference} 的差異，百分點與 95 % 信賴區間"
    ),
    "{n} more stand in the table.": "另外 {n} 個在表格裡。",
    "All tasks": "所有任務",
    "Each task by each scorer: % correct (95 %), and the paired difference to {reference}": (
        "每個任務、每種判讀方式：正確率 %（95 %），以及與 {reference} 的逐題配對差異"
    ),
    "Over several tasks": "跨任務的數字",
    "Figures over several tasks, from finished logs": "跨任務的數字，只用已完成的紀錄",
    "Figure": "數字",
    "no interval": "沒有區間",
    "To be known of these logs": "這些紀錄要注意的事",
    "What to compare": "要比較什麼",
    "Choose logs of one task": "選擇同一個任務的紀錄",
    "Choose runs": "選擇執行資料夾",
    "Compare": "比較",
    "answers": "回答數",
    "interrupted": "中斷",
    "There are no two logs of one task here.": "這裡沒有同一個任務的兩份紀錄。",
    "of {n} answers": "{n} 個回答",
}
