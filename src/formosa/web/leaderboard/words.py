"""What the leaderboard says: English → zh-TW."""

from formosa.web.picture_words import PICTURE_WORDS

LEADERBOARD_WORDS = {
    **PICTURE_WORDS,
    "Leaderboard": "排行榜",
    "Multiple choice": "選擇題",
    "Function calling (BFCL)": "函式呼叫（BFCL）",
    "Other tasks": "其他任務",
    "Model": "模型",
    "Reading": "判讀方式",
    "Family": "題組",
    "Repeats": "次數",
    "Seed of the option order": "選項排序的種子",
    "Mean": "平均 Mean",
    "Simple": "單一 Simple",
    "Multiple": "多選一 Multiple",
    "Parallel": "平行 Parallel",
    "Parallel Multiple": "平行多選 Parallel Multiple",
    "Taiwan law": "台灣法律",
    "Overall, as claimed": "整體 Overall（卡片宣稱）",
    "Correct, % (95 % interval). Measured here, from evaluation logs.": (
        "正確率 %（95 % 信賴區間）。由這裡的評測紀錄算出。"
    ),
    "best": "最佳",
    "can't be told from the best": "與最佳分不出高下",
    "best: every other model with these questions is outside the noise": (
        "最佳：答同一批題目的其他模型都在雜訊之外"
    ),
    "these can't be told apart from the best: inside the noise": (
        "與最佳分不出高下：差異在雜訊之內"
    ),
    "Only finished evaluations of the same questions are ranked, within one column and one way of "
    "reading; a model is compared with the best one question by question, with Holm's p over all "
    "pairs.": (
        "只排名同一批題目、已完成的評測，且只在同一欄、同一種判讀方式之內；"
        "每個模型與最佳者逐題比較，p 值對所有配對做 Holm 校正。"
    ),
    "{n} of {of} questions": "{of} 題中的 {n} 題",
    "interrupted: {n} of {of} answers": "中斷：{of} 個回答中的 {n} 個",
    "running: {n} of {of} answers": "進行中：{of} 個回答中的 {n} 個",
    "other questions": "題目不同",
    "±{x} over {n} runs": "{n} 次之間 ±{x}",
    "as the F1 cards print it: {text}": "F1 卡片的寫法：{text}",
    "no answers": "沒有回答",
    "Claimed in model cards": "模型卡宣稱的數字",
    "Claimed, not measured here: as it stands in the card. Nobody can say from it which "
    "questions, settings or reading made it, so it is not ranked.": (
        "宣稱的數字，並非在這裡測得：照卡片原文。從中無法得知題目、設定與判讀方式，因此不排名。"
    ),
    "Card": "模型卡",
    "line {n}": "第 {n} 行",
    "Compare these models in detail: {column}, {reading}": "細部比較這些模型：{column}，{reading}",
    "Compare": "比較",
    "Sort by {column}": "依 {column} 排序",
    "In detail": "細部比較",
    "Settings differ within this table: {settings}. The differences are of models and settings "
    "together.": "這個表格裡的設定不一致：{settings}。差異同時來自模型與設定。",
    "Not shown: {n} more logs of a model and task that stand here with another log.": (
        "沒有列出：另外 {n} 份紀錄，其模型與任務已由別的紀錄代表。"
    ),
    "There are no evaluation logs here.": "這裡沒有評測紀錄。",
    "Make one: {command}": "先做一份：{command}",
    "All scores as CSV": "所有成績存成 CSV",
    "Can't be read: {why}": "無法讀取：{why}",
}
